//! [`Store`]: what one cache and its clones share.

use std::{
    future::Future as _,
    pin::pin,
    sync::Arc,
    task::{Context, Waker},
    time::{Duration, Instant},
};

use moka::{Expiry, future::Cache as MokaCache, notification::RemovalCause, policy::EvictionPolicy};
use portcullis_core::{Fingerprint, FingerprintState, UnixTime, UserContext};

use super::{
    CacheConfig, entry::Entry, flights::Flights, index::Index, registry::Registry, rejections::Rejections,
    telemetry::Telemetry,
};

/// What one cache and its clones share: contexts (moka decides which stay, [`Index`] answers), refusals, resolutions under
/// way, and who has to be told of a revocation.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) config: CacheConfig,
    pub(super) index: Arc<Index>,
    pub(super) flights: Flights,
    pub(super) registry: Registry,
    pub(super) rejections: Rejections,
    pub(super) telemetry: Telemetry,
    contexts: MokaCache<Fingerprint, Kept, FingerprintState>,
    use_interval: Duration,
}

/// Whose entry it is, and for how long moka keeps it.
#[derive(Clone, Debug)]
struct Kept {
    context: Arc<UserContext>,
    lifetime: Duration,
}

impl Store {
    pub(super) fn new(config: CacheConfig) -> Self {
        let index = Arc::new(Index::new());
        let listening = Arc::clone(&index);
        let contexts = MokaCache::builder()
            .max_capacity(config.capacity)
            // Whoever is new has just been paid for: it is admitted, and the one unused for longest goes.
            .eviction_policy(EvictionPolicy::lru())
            .expire_after(Lifetime)
            .eviction_listener(move |fingerprint: Arc<Fingerprint>, kept: Kept, cause| {
                if cause != RemovalCause::Replaced {
                    listening.remove(&fingerprint, &kept.context);
                }
            })
            .build_with_hasher(FingerprintState::default());
        Self {
            index,
            flights: Flights::default(),
            registry: Registry::default(),
            rejections: Rejections::new(config.negative_capacity, config.negative_ttl),
            telemetry: Telemetry::new(),
            contexts,
            use_interval: (config.ttl / 8).clamp(Duration::from_millis(100), Duration::from_secs(30)),
            config,
        }
    }

    pub(super) fn now(&self) -> UnixTime {
        self.config.clock.now()
    }

    /// Remembers `entry`. The index comes first: were the store first, it might evict before the index knows.
    pub(super) async fn keep(&self, fingerprint: Fingerprint, entry: Entry) {
        entry.announce();
        let kept = Kept { context: Arc::clone(&entry.context), lifetime: entry.lifetime(self.now()) };
        self.index.insert(fingerprint, entry);
        self.contexts.insert(fingerprint, kept).await;
    }

    /// Forgets whatever is remembered of `fingerprint`.
    pub(super) async fn forget(&self, fingerprint: &Fingerprint) {
        self.rejections.forget(fingerprint);
        self.index.clear(fingerprint);
        self.contexts.invalidate(fingerprint).await;
    }

    /// Lets moka hear of a use now and then, so that it knows who was used last.
    pub(super) fn note_use(&self, fingerprint: &Fingerprint, entry: &Entry, now: UnixTime) {
        if entry.is_use_due(now, self.use_interval) {
            // One poll: it is ready unless moka is busy tidying up, and then this use may go unnoticed.
            let _ = pin!(self.contexts.get(fingerprint)).poll(&mut Context::from_waker(Waker::noop()));
        }
    }

    /// How many contexts are remembered, after tidying up.
    pub(super) async fn len(&self) -> u64 {
        self.contexts.run_pending_tasks().await;
        self.contexts.entry_count()
    }
}

struct Lifetime;

/// Both, because overwriting an entry keeps the *old* expiry by default.
impl Expiry<Fingerprint, Kept> for Lifetime {
    fn expire_after_create(&self, _: &Fingerprint, kept: &Kept, _: Instant) -> Option<Duration> {
        Some(kept.lifetime)
    }

    fn expire_after_update(&self, _: &Fingerprint, kept: &Kept, _: Instant, _: Option<Duration>) -> Option<Duration> {
        Some(kept.lifetime)
    }
}
