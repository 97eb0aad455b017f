//! What a token states about its own type in its claims, where the header does not tell access tokens from the others of an issuer.

use portcullis_core::{AuthError, Reason};
use serde_json::Value;

use crate::Claims;

/// Claims that state a type: `typ` of Keycloak, `token_use` of Cognito and Hydra, `token_type` of introspection and of several
/// frameworks.
const STATING: [&str; 3] = ["typ", "token_use", "token_type"];

/// What they say of an access token.
const ACCESS: [&str; 4] = ["Bearer", "access", "access_token", "at+jwt"];

/// Hashes that bind an ID token to what it was issued with (OpenID Connect Core 1.0 section 3.3.2.11, FAPI 1.0 part 2 section 5.1).
const HASHES: [&str; 3] = ["at_hash", "c_hash", "s_hash"];

/// Checks that `claims` do not state another type than that of a bearer access token.
pub(crate) fn check_stated_type(claims: &Claims) -> Result<(), AuthError> {
    other_type(claims, &[]).map_or(Ok(()), |problem| Err(wrong_type(problem)))
}

/// Checks that `claims` of a JWT, whose header names no type, are not those of an ID token, a refresh token, a logout token or a
/// security event token. A type in `further` is that of an access token as well.
///
/// A `nonce` is that of an ID token, unless the token states that it is an access token: Keycloak before 25 writes the nonce of the
/// login into access tokens as well, with `typ` of `Bearer`.
pub(crate) fn check_untyped(claims: &Claims, further: &[Box<str>]) -> Result<(), AuthError> {
    if let Some(hash) = HASHES.iter().find(|hash| claims.claim(hash).is_some()) {
        return Err(wrong_type(format!("it has `{hash}`, as ID tokens have")));
    }
    // RFC 8417 section 2.2, OpenID Connect Back-Channel Logout 1.0 section 2.4.
    if claims.claim("events").is_some() {
        return Err(wrong_type("it has `events`, as logout tokens and security event tokens have"));
    }
    if let Some(problem) = other_type(claims, further) {
        return Err(wrong_type(format!(
            "{problem}; if the issuer writes this into access tokens, add it to `token_types`"
        )));
    }
    let is_stated = || STATING.iter().any(|claim| claims.claim(claim).is_some_and(|value| is_one_of(value, &ACCESS)));
    if claims.claim("nonce").is_some() && !is_stated() {
        return Err(wrong_type("it has `nonce`, as ID tokens have, and does not state that it is an access token"));
    }
    Ok(())
}

/// The statement of another type than that of an access token, if there is one.
fn other_type(claims: &Claims, further: &[Box<str>]) -> Option<String> {
    let stated = STATING.iter().filter_map(|claim| Some((*claim, claims.claim(claim)?)));
    let mut other = stated.filter(|(claim, value)| {
        // That it is a JWT says nothing about what it is for.
        let says_nothing = *claim == "typ" && is_one_of(value, &["JWT"]);
        !says_nothing && !is_one_of(value, &ACCESS) && !is_one_of(value, further)
    });
    let (claim, value) = other.next()?;
    let value: String = value.to_string().chars().take(40).collect();
    Some(format!("`{claim}` is {value}, which is not that of an access token"))
}

fn is_one_of<S: AsRef<str>>(value: &Value, names: &[S]) -> bool {
    value.as_str().is_some_and(|text| names.iter().any(|name| name.as_ref().eq_ignore_ascii_case(text)))
}

fn wrong_type(problem: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> AuthError {
    AuthError::new(Reason::WrongType).with_source(problem)
}
