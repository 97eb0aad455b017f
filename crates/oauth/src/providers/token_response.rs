//! What a token endpoint answers.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use portcullis_core::{BearerToken, ScopeSet, UnixTime};
use secrecy::SecretString;
use serde_json::{Map, Value};

use super::Provider;
use crate::{Claims, ProtocolError, TokenResponse, jwt::UnverifiedJwt, response::json_object};

/// The longest token that is looked into.
const MAX_LEN: usize = 64 * 1024;

type Members = Map<String, Value>;

impl Provider {
    /// The tokens in `response`, which came at `now`.
    ///
    /// The expiry of the access token is what the response says (`expires_in`), else what the token says if it is a JWT (`exp`),
    /// else unknown. The ID token is **not** verified.
    ///
    /// # Errors
    /// [`ProtocolError::GrantRefused`] if the provider says that the code or refresh token is no good;
    /// [`ProtocolError::ClientRefused`] if it does not like us or what we ask; [`ProtocolError::RateLimited`] and
    /// [`ProtocolError::ServerError`] if it may work later; others if the response cannot be understood, also because the token is
    /// none of type `Bearer`.
    pub fn process_token(&self, response: &Response<Bytes>, now: UnixTime) -> Result<TokenResponse, ProtocolError> {
        if let Some(refusal) = self.token_refusal(response) {
            return Err(refusal);
        }
        let members = json_object(response)?;
        // Required by RFC 6749; where it is absent no other type can be meant.
        let token_type = text(&members, "token_type")?.unwrap_or("Bearer");
        if !token_type.eq_ignore_ascii_case("Bearer") {
            return Err(ProtocolError::InvalidMember("token_type"));
        }
        let access_token = text(&members, "access_token")?.and_then(|text| BearerToken::issued(text).ok());
        let access_token = access_token.ok_or(ProtocolError::InvalidMember("access_token"))?;
        let mut tokens = TokenResponse::new(access_token);
        tokens.expires_in = lifetime(&members, "expires_in");
        if tokens.expires_in.is_none() {
            tokens.expires_at = expiry_in(&tokens.access_token).filter(|expires_at| *expires_at > now);
        }
        tokens.refresh_token = text(&members, "refresh_token")?.map(SecretString::from);
        tokens.refresh_expires_in = lifetime(&members, self.vendor.refresh_lifetime);
        tokens.id_token = text(&members, "id_token")?.map(SecretString::from);
        // Empty is an answer, nothing was granted, but where there are no scopes at all.
        let says_nothing = |scopes: &ScopeSet| scopes.is_empty() && (self.vendor.has_no_scopes)(&tokens.access_token);
        let scopes = members.get("scope").and_then(Value::as_str).map(|text| self.scopes(text));
        tokens.scopes = scopes.filter(|scopes| !says_nothing(scopes));
        let kept = self.vendor.kept.iter().filter_map(|name| members.get_key_value(*name));
        tokens.further = kept.map(|(name, value)| (name.clone(), value.clone())).collect();
        Ok(tokens)
    }

    /// A name that no scope can have is no right that anybody could use.
    fn scopes(&self, text: &str) -> ScopeSet {
        let names = text.split([' ', self.vendor.scope_separator]);
        let valid = names.filter_map(|name| ScopeSet::new([name]).ok());
        valid.fold(ScopeSet::default(), |all, scope| all.union(&scope))
    }
}

/// A member that is a string. Empty and null are as good as absent.
fn text<'a>(members: &'a Members, name: &'static str) -> Result<Option<&'a str>, ProtocolError> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(&**text).filter(|text| !text.is_empty())),
        Some(_) => Err(ProtocolError::InvalidMember(name)),
    }
}

/// A number of seconds; some write it as a string. What is not positive is no lifetime, and better unknown than wrong: a token
/// that came with a response is good.
fn lifetime(members: &Members, name: &str) -> Option<Duration> {
    let value = members.get(name)?;
    let seconds = value.as_f64().or_else(|| value.as_str()?.parse().ok())?;
    Duration::try_from_secs_f64(seconds).ok().filter(|lifetime| !lifetime.is_zero())
}

fn expiry_in(token: &BearerToken) -> Option<UnixTime> {
    claims_in(token)?.expires_at().ok()?
}

/// What a token says that is a JWT. Nothing of it is verified: whoever asks has it from the provider itself.
pub(super) fn claims_in(token: &BearerToken) -> Option<Claims> {
    let jwt = UnverifiedJwt::is_likely(token).then(|| UnverifiedJwt::parse(token, MAX_LEN))?;
    jwt.ok().map(UnverifiedJwt::into_claims)
}
