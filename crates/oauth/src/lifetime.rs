//! Whether claims are valid now.

use std::time::Duration;

use portcullis_core::{AuthError, Reason, UnixTime};

use crate::Claims;

/// The most that clocks are allowed to differ: leeway prolongs every token.
pub(crate) const MAX_LEEWAY: Duration = Duration::from_secs(300);

/// Checks `exp`, `nbf` and `iat`, each if present. `now` is inside the lifetime until `exp` itself.
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
