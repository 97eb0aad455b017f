//! The parser for assertions, and the checks that all of them share.

use std::time::Duration;

use portcullis_core::{AuthError, BearerToken, Issuer, Reason, UnixTime};
use secrecy::{ExposeSecret, SecretString};

use crate::{Claims, InvalidClaim, claims_checks::check_lifetime, jwt::UnverifiedJwt};

/// The maximum length of an assertion in bytes: it is read before the client is authenticated.
const MAX_LEN: usize = 16 * 1024;

/// Parses `assertion`, the value of the parameter `assertion` or `client_assertion`. Nothing in it is verified yet; its
/// [issuer](UnverifiedJwt::claimed_issuer) may be used to choose a policy.
///
/// # Errors
/// As [`UnverifiedJwt::parse`]; longer than 16 KiB is too large.
pub fn parse(assertion: &SecretString) -> Result<UnverifiedJwt, AuthError> {
    let token = BearerToken::issued(assertion.expose_secret());
    let token = token.map_err(|error| AuthError::new(Reason::MalformedToken).with_source(error))?;
    UnverifiedJwt::parse(&token, MAX_LEN)
}

/// Checks that `audience` is the sole value of `aud`: one of several recipients could present the assertion to another.
pub(super) fn check_sole_audience(claims: &Claims, audience: &Issuer) -> Result<(), AuthError> {
    match claims.audience()?[..] {
        [only] if only == audience.as_str() => Ok(()),
        [] => Err(InvalidClaim("aud").into()),
        _ => Err(AuthError::new(Reason::WrongAudience)),
    }
}

/// Checks that the claims are valid now and for at most `longest`. Returns the time until which they are accepted.
pub(super) fn check_short_life(
    claims: &Claims,
    now: UnixTime,
    longest: Duration,
    leeway: Duration,
) -> Result<UnixTime, AuthError> {
    let expires_at = claims.expires_at()?.ok_or(InvalidClaim("exp"))?;
    check_lifetime(claims, now, leeway)?;
    if expires_at > now + longest + leeway {
        return Err(AuthError::new(Reason::TooLongLived));
    }
    Ok(expires_at + leeway)
}

/// Returns the claim `name`, which must be present and not empty.
pub(super) fn required<'a>(claims: &'a Claims, name: &'static str) -> Result<&'a str, AuthError> {
    Ok(claims.name(name)?.ok_or(InvalidClaim(name))?)
}
