//! Checks of claims that several policies share: lifetime, and the claims that state the type of a token.

use std::time::Duration;

use portcullis_core::{AuthError, Reason, UnixTime};
use serde_json::Value;

use crate::Claims;

/// The maximum leeway, which extends the lifetime of every token.
pub(crate) const MAX_LEEWAY: Duration = Duration::from_secs(300);

/// Checks `exp`, `nbf` and `iat`, each if present. The token is valid before `exp`, not at `exp`.
/// [RFC 7519 section 4.1.4](https://www.rfc-editor.org/rfc/rfc7519#section-4.1.4)
pub(crate) fn check_lifetime(claims: &Claims, now: UnixTime, leeway: Duration) -> Result<(), AuthError> {
    if claims.expires_at()?.is_some_and(|end| now >= end + leeway) {
        return Err(AuthError::new(Reason::Expired));
    }
    if claims.not_before()?.is_some_and(|begin| begin > now + leeway) {
        return Err(AuthError::new(Reason::NotYetValid));
    }
    if claims.issued_at()?.is_some_and(|issued| issued > now + leeway) {
        return Err(AuthError::new(Reason::IssuedInFuture));
    }
    Ok(())
}

/// Returns the error for a token that is bound to a key.
pub(crate) fn key_bound() -> AuthError {
    let problem = "the token is bound to a key (`cnf`), and proof of possession (DPoP, mTLS) is not supported; configure the issuer to issue \
                   bearer tokens to this client";
    AuthError::new(Reason::KeyBound).with_source(problem)
}

/// Claims that state a type: `typ` of Keycloak, `token_use` of Cognito and Hydra, `token_type` of introspection and of several
/// frameworks.
const TYPE_CLAIMS: [&str; 3] = ["typ", "token_use", "token_type"];

/// The values of these claims in an access token.
const ACCESS_TOKEN_TYPES: [&str; 4] = ["Bearer", "access", "access_token", "at+jwt"];

/// Hashes that bind an ID token to the values it was issued with (OpenID Connect Core 1.0 section 3.3.2.11, FAPI 1.0 part 2 section 5.1).
const HASHES: [&str; 3] = ["at_hash", "c_hash", "s_hash"];

/// Checks that `claims` state no other type than bearer access token.
pub(crate) fn check_stated_type(claims: &Claims) -> Result<(), AuthError> {
    other_type(claims, &[]).map_or(Ok(()), |problem| Err(wrong_type(problem)))
}

/// Checks that the claims of a JWT whose header names no type are not those of an ID token, a refresh token, a logout token or a security
/// event token. The types in `additional` are accepted as well.
///
/// A `nonce` marks an ID token, unless the token states that it is an access token: Keycloak before 25 writes the nonce of the login into
/// access tokens as well, with `typ` of `Bearer`.
pub(crate) fn check_untyped(claims: &Claims, additional: &[Box<str>]) -> Result<(), AuthError> {
    if let Some(hash) = HASHES.iter().find(|hash| claims.claim(hash).is_some()) {
        return Err(wrong_type(format!("it has the claim `{hash}` of an ID token")));
    }
    // RFC 8417 section 2.2, OpenID Connect Back-Channel Logout 1.0 section 2.4.
    if claims.claim("events").is_some() {
        return Err(wrong_type("it has the claim `events` of a logout token or security event token"));
    }
    if let Some(problem) = other_type(claims, additional) {
        return Err(wrong_type(format!(
            "{problem}; if the issuer writes this into access tokens, add it to `token_types`"
        )));
    }
    let is_stated = || {
        TYPE_CLAIMS.iter().any(|claim| claims.claim(claim).is_some_and(|value| is_one_of(value, &ACCESS_TOKEN_TYPES)))
    };
    if claims.claim("nonce").is_some() && !is_stated() {
        return Err(wrong_type(
            "it has the claim `nonce` of an ID token, and does not state that it is an access token",
        ));
    }
    Ok(())
}

/// Describes the claim that states another type, if there is one.
fn other_type(claims: &Claims, additional: &[Box<str>]) -> Option<String> {
    let stated = TYPE_CLAIMS.iter().filter_map(|claim| Some((*claim, claims.claim(claim)?)));
    let mut other = stated.filter(|(claim, value)| {
        // `JWT` names the format, not the purpose.
        let is_format_only = *claim == "typ" && is_one_of(value, &["JWT"]);
        !is_format_only && !is_one_of(value, &ACCESS_TOKEN_TYPES) && !is_one_of(value, additional)
    });
    let (claim, value) = other.next()?;
    let value: String = value.to_string().chars().take(40).collect();
    Some(format!("`{claim}` is {value}, which is not the type of an access token"))
}

fn is_one_of<S: AsRef<str>>(value: &Value, names: &[S]) -> bool {
    value.as_str().is_some_and(|text| names.iter().any(|name| name.as_ref().eq_ignore_ascii_case(text)))
}

fn wrong_type(problem: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> AuthError {
    AuthError::new(Reason::WrongType).with_source(problem)
}
