//! [`CacheConfig`]: configuration of the context cache.

use std::{sync::Arc, time::Duration};

use portcullis_core::{Clock, SystemClock};

/// Configuration of the context cache. Every field has a default.
#[derive(Clone, Debug)]
pub struct CacheConfig {
    pub(super) ttl: Duration,
    pub(super) capacity: u64,
    pub(super) negative_ttl: Duration,
    pub(super) negative_capacity: u64,
    pub(super) stale_if_error: Duration,
    pub(super) clock: Arc<dyn Clock>,
}

impl CacheConfig {
    /// The default of [`with_ttl`](Self::with_ttl).
    pub const DEFAULT_TTL: Duration = Duration::from_mins(5);
    /// The default of [`with_capacity`](Self::with_capacity).
    pub const DEFAULT_CAPACITY: u64 = 100_000;
    /// The default of [`with_negative_ttl`](Self::with_negative_ttl).
    pub const DEFAULT_NEGATIVE_TTL: Duration = Duration::from_secs(10);

    /// Creates the default configuration: 5 minutes, 100 000 contexts, refusals for 10 seconds, no stale-if-error.
    #[must_use]
    pub fn new() -> Self {
        Self {
            ttl: Self::DEFAULT_TTL,
            capacity: Self::DEFAULT_CAPACITY,
            negative_ttl: Self::DEFAULT_NEGATIVE_TTL,
            negative_capacity: 10_000,
            stale_if_error: Duration::ZERO,
            clock: Arc::new(SystemClock::new()),
        }
    }

    /// Sets how long a context is used without asking again. It bounds how late this process learns of a revocation at the provider.
    #[must_use]
    pub const fn with_ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Sets how many contexts are cached; beyond that, the least recently used ones are evicted.
    #[must_use]
    pub const fn with_capacity(mut self, contexts: u64) -> Self {
        self.capacity = contexts;
        self
    }

    /// Sets how long a refused token is refused again without asking. Zero: refusals are not cached.
    #[must_use]
    pub const fn with_negative_ttl(mut self, ttl: Duration) -> Self {
        self.negative_ttl = ttl;
        self
    }

    /// Sets how many refusals are cached. They take no room of contexts.
    #[must_use]
    pub const fn with_negative_capacity(mut self, refusals: u64) -> Self {
        self.negative_capacity = refusals;
        self
    }

    /// Sets how long beyond its time to live the last valid context is used while the provider is unavailable. It is never used past
    /// the token's own expiry. Zero: not at all.
    #[must_use]
    pub const fn with_stale_if_error(mut self, bound: Duration) -> Self {
        self.stale_if_error = bound;
        self
    }

    /// Sets the clock that token expiries are compared with.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self::new()
    }
}
