//! [`NegativeCache`]: tokens that were refused a short time ago.

use std::time::Duration;

use moka::sync::Cache as MokaCache;
use portcullis_core::{AuthError, AuthErrorKind, Fingerprint, FingerprintState};
use tokio::time::Instant;

/// The longest time to live. moka panics at a thousand years, and so may the addition of a configured duration to an instant.
const LONGEST: Duration = Duration::from_hours(24 * 365);

/// Tokens that were refused a short time ago, in a separate cache: invalid tokens evict each other and never a user.
#[derive(Debug)]
pub(super) struct NegativeCache {
    refusals: MokaCache<Fingerprint, Refusal, FingerprintState>,
    ttl: Duration,
}

#[derive(Clone, Debug)]
struct Refusal {
    /// The fingerprint of the token's signed part.
    signed: Fingerprint,
    error: AuthError,
    expires_at: Instant,
}

impl NegativeCache {
    pub(super) fn new(capacity: u64, ttl: Duration) -> Self {
        let ttl = ttl.min(LONGEST);
        let refusals = MokaCache::builder()
            .max_capacity(capacity)
            .time_to_live(ttl)
            .build_with_hasher(FingerprintState::default());
        Self { refusals, ttl }
    }

    /// Caches `error` if it is about the token. An outage is not cached.
    pub(super) fn insert(&self, fingerprint: Fingerprint, signed: Fingerprint, error: &AuthError) {
        if error.kind() == AuthErrorKind::InvalidToken && !self.ttl.is_zero() {
            let refusal = Refusal { signed, error: error.clone(), expires_at: Instant::now() + self.ttl };
            self.refusals.insert(fingerprint, refusal);
        }
    }

    pub(super) fn get(&self, fingerprint: &Fingerprint) -> Option<AuthError> {
        let refusal = self.refusals.get(fingerprint)?;
        (Instant::now() < refusal.expires_at).then_some(refusal.error)
    }

    pub(super) fn remove(&self, fingerprint: &Fingerprint) {
        self.refusals.invalidate(fingerprint);
    }

    /// Removes the refusals of a token in each of its encodings. It scans all refusals: there are few of them, and tokens are seldom
    /// invalidated.
    pub(super) fn remove_token(&self, signed: &Fingerprint) {
        for (fingerprint, refusal) in &self.refusals {
            if refusal.signed == *signed {
                self.refusals.invalidate(&*fingerprint);
            }
        }
    }

    pub(super) fn clear(&self) {
        self.refusals.invalidate_all();
    }
}
