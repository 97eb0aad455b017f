//! [`CredentialRejection`]: a refusal that holds for everybody, for a while.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use portcullis_core::AuthError;
use tokio::time::Instant;

/// For how long a provider that refused our credentials is not asked with them again: it may lock us out.
const REFUSED: Duration = Duration::from_secs(5);
/// For how long a provider may ask to be left alone.
const LONGEST: Duration = Duration::from_secs(300);

/// A refusal that holds for everybody, for a while: what was refused is this server, so nobody else need try.
#[derive(Default)]
pub struct CredentialRejection(Mutex<Option<(AuthError, Instant)>>);

impl CredentialRejection {
    /// From now on, for 5 s, or for as long as `refusal` asks, up to 5 min. What those are told who have just been refused.
    pub fn set(&self, refusal: AuthError) -> AuthError {
        let pause = refusal.retry_after().unwrap_or_default().clamp(REFUSED, LONGEST);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((refusal.clone(), Instant::now() + pause));
        refusal.with_retry_after(pause)
    }

    /// The refusal, if it still holds, and for how long.
    #[must_use]
    pub fn get(&self) -> Option<AuthError> {
        let standing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (refusal, until) = standing.as_ref()?;
        let rest = until.saturating_duration_since(Instant::now());
        (!rest.is_zero()).then(|| refusal.clone().with_retry_after(rest))
    }
}

impl fmt::Debug for CredentialRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialRejection").finish_non_exhaustive()
    }
}
