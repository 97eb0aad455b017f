//! What every assertion must say, whatever it is for.

use std::time::Duration;

use portcullis_core::{AuthError, Issuer, Reason, UnixTime};

use crate::{Claims, InvalidClaim, lifetime::check_lifetime};

/// Checks that `audience` is the sole value of `aud`: one that names several could be presented by one of them to another.
pub(super) fn check_sole_audience(claims: &Claims, audience: &Issuer) -> Result<(), AuthError> {
    match claims.audience()?[..] {
        [only] if only == audience.as_str() => Ok(()),
        [] => Err(InvalidClaim("aud").into()),
        _ => Err(AuthError::new(Reason::WrongAudience)),
    }
}

/// Checks that the claims are valid now and end before `longest` has passed. Returns until when they are accepted.
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

/// The claim `name`, which must be there and be no empty string.
pub(super) fn required<'a>(claims: &'a Claims, name: &'static str) -> Result<&'a str, AuthError> {
    Ok(claims.name(name)?.ok_or(InvalidClaim(name))?)
}
