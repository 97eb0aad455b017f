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
    refused: MokaCache<Fingerprint, Rejection, FingerprintState>,
    ttl: Duration,
}

#[derive(Clone, Debug)]
struct Rejection {
    /// Of the token's signed part.
    signed: Fingerprint,
    error: AuthError,
    until: Instant,
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
    pub(super) fn remember(&self, fingerprint: Fingerprint, signed: Fingerprint, error: &AuthError) {
        if error.kind() == AuthErrorKind::InvalidToken && !self.ttl.is_zero() {
            let rejection = Rejection { signed, error: error.clone(), until: Instant::now() + self.ttl };
            self.refused.insert(fingerprint, rejection);
        }
    }

    pub(super) fn find(&self, fingerprint: &Fingerprint) -> Option<AuthError> {
        let rejection = self.refused.get(fingerprint)?;
        (Instant::now() < rejection.until).then_some(rejection.error)
    }

    pub(super) fn forget(&self, fingerprint: &Fingerprint) {
        self.refused.invalidate(fingerprint);
    }

    /// Forgets the refusals of a token in each of its encodings. It looks at every refusal there is, of which there are few, and
    /// not many tokens are withdrawn.
    pub(super) fn forget_token(&self, signed: &Fingerprint) {
        for (fingerprint, rejection) in &self.refused {
            if rejection.signed == *signed {
                self.refused.invalidate(&*fingerprint);
            }
        }
    }

    pub(super) fn forget_all(&self) {
        self.refused.invalidate_all();
    }
}
