//! [`Rejections`]: tokens refused a moment ago.

use std::time::Duration;

use moka::sync::Cache as MokaCache;
use portcullis_core::{AuthError, AuthErrorKind, Fingerprint, FingerprintState};
use tokio::time::Instant;

/// As good as for ever. moka panics at a thousand years, and so may adding what an operator writes to an instant.
const LONGEST: Duration = Duration::from_hours(24 * 365);

/// Tokens refused a moment ago, in a cache of their own: junk evicts junk, never a user.
#[derive(Debug)]
pub(super) struct Rejections {
    refused: MokaCache<Fingerprint, (AuthError, Instant), FingerprintState>,
    ttl: Duration,
}

impl Rejections {
    pub(super) fn new(capacity: u64, ttl: Duration) -> Self {
        let ttl = ttl.min(LONGEST);
        let refused = MokaCache::builder()
            .max_capacity(capacity)
            .time_to_live(ttl)
            .build_with_hasher(FingerprintState::default());
        Self { refused, ttl }
    }

    /// Remembers `error` if it is the token's fault. An outage never is.
    pub(super) fn remember(&self, fingerprint: Fingerprint, error: &AuthError) {
        if error.kind() == AuthErrorKind::InvalidToken && !self.ttl.is_zero() {
            self.refused.insert(fingerprint, (error.clone(), Instant::now() + self.ttl));
        }
    }

    pub(super) fn find(&self, fingerprint: &Fingerprint) -> Option<AuthError> {
        let (error, until) = self.refused.get(fingerprint)?;
        (Instant::now() < until).then_some(error)
    }

    pub(super) fn forget(&self, fingerprint: &Fingerprint) {
        self.refused.invalidate(fingerprint);
    }

    pub(super) fn forget_all(&self) {
        self.refused.invalidate_all();
    }
}
