//! [`Accepted`]: when the provider last accepted the credentials of this server.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

/// When the token endpoint last accepted the credentials of this server, in this process.
#[derive(Debug, Default)]
pub(super) struct Accepted(Mutex<Option<Instant>>);

impl Accepted {
    /// They have just been accepted.
    pub(super) fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    pub(super) fn last(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
