//! [`Store`]: the state that a cache and its clones share.

use std::{
    future::Future as _,
    pin::pin,
    sync::Arc,
    task::{Context, Waker},
    time::{Duration, Instant},
};

use moka::{Expiry, future::Cache as MokaCache, notification::RemovalCause, policy::EvictionPolicy};
use papaya::HashMap;
use portcullis_core::{AuthError, Fingerprint, FingerprintState, Reason, UnixTime, UserContext};
use portcullis_remote::SingleFlight;
use tokio::task::JoinError;

use super::{
    CacheConfig,
    entry::{Entry, Freshness},
    negative_cache::NegativeCache,
    registry::Registry,
    telemetry::Telemetry,
};

/// The state that a cache and its clones share: contexts (moka decides which stay, [`Index`] serves the reads), refusals, running
/// resolutions, and the registry by which contexts are invalidated.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) config: CacheConfig,
    pub(super) index: Arc<Index>,
    /// Not moka's `try_get_with`: see `docs/decisions/0002-the-cache.md`.
    pub(super) resolutions: SingleFlight<Fingerprint, Outcome, FingerprintState>,
    pub(super) registry: Registry,
    pub(super) refusals: NegativeCache,
    pub(super) telemetry: Telemetry,
    contexts: MokaCache<Fingerprint, Stored, FingerprintState>,
    use_interval: Duration,
}

/// The outcome of a resolution, for all callers that wait for it.
pub(super) type Outcome = Result<Arc<UserContext>, AuthError>;

/// The value in moka: identifies the entry of the index, and says how long it stays.
#[derive(Clone, Debug)]
struct Stored {
    context: Arc<UserContext>,
    lifetime: Duration,
}

impl Store {
    pub(super) fn new(config: CacheConfig) -> Self {
        let index = Arc::new(Index::new());
        let evicted_from = Arc::clone(&index);
        let contexts = MokaCache::builder()
            .max_capacity(config.capacity)
            // A new context has just cost a call to the provider: it is admitted, and the least recently used one is evicted.
            .eviction_policy(EvictionPolicy::lru())
            .expire_after(Lifetime)
            .eviction_listener(move |fingerprint: Arc<Fingerprint>, stored: Stored, cause| {
                if cause != RemovalCause::Replaced {
                    evicted_from.remove_context(&fingerprint, &stored.context);
                }
            })
            .build_with_hasher(FingerprintState::default());
        Self {
            index,
            resolutions: SingleFlight::new(|failed| Err(verifier_failed(&failed))),
            registry: Registry::default(),
            refusals: NegativeCache::new(config.negative_capacity, config.negative_ttl),
            telemetry: Telemetry::new(),
            contexts,
            use_interval: (config.ttl / 8).clamp(Duration::from_millis(100), Duration::from_secs(30)),
            config,
        }
    }

    pub(super) fn now(&self) -> UnixTime {
        self.config.clock.now()
    }

    /// Caches `entry`. The index comes first: otherwise moka could evict the entry before the index has it.
    pub(super) async fn insert(&self, fingerprint: Fingerprint, entry: Entry) {
        entry.announce();
        let stored = Stored { context: Arc::clone(&entry.context), lifetime: entry.lifetime(self.now()) };
        self.index.insert(fingerprint, entry);
        self.contexts.insert(fingerprint, stored).await;
    }

    /// Removes the context and the refusal of `fingerprint`.
    pub(super) async fn remove(&self, fingerprint: &Fingerprint) {
        self.refusals.remove(fingerprint);
        self.index.remove(fingerprint);
        self.contexts.invalidate(fingerprint).await;
    }

    /// Reports some of the uses of an entry to moka, for its least-recently-used policy.
    pub(super) fn touch(&self, fingerprint: &Fingerprint, entry: &Entry, now: UnixTime) {
        if entry.is_use_due(now, self.use_interval) {
            // One poll: it is ready unless moka is in the middle of maintenance, and then this use may be lost.
            let _ = pin!(self.contexts.get(fingerprint)).poll(&mut Context::from_waker(Waker::noop()));
        }
    }

    /// Returns the number of cached contexts, after moka's pending maintenance.
    pub(super) async fn len(&self) -> u64 {
        self.contexts.run_pending_tasks().await;
        self.contexts.entry_count()
    }
}

/// Returns the outcome of a resolution that panicked, or whose runtime stopped.
fn verifier_failed(failed: &JoinError) -> AuthError {
    tracing::error!(panicked = failed.is_panic(), "a token verifier failed");
    AuthError::new(Reason::VerifierFailed)
}

struct Lifetime;

/// Both methods, because by default an overwritten entry keeps the *old* expiry.
impl Expiry<Fingerprint, Stored> for Lifetime {
    fn expire_after_create(&self, _: &Fingerprint, stored: &Stored, _: Instant) -> Option<Duration> {
        Some(stored.lifetime)
    }

    fn expire_after_update(
        &self,
        _: &Fingerprint,
        stored: &Stored,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(stored.lifetime)
    }
}

/// The read path: a map without locks that has the same entries as moka.
///
/// A read of moka costs 240 ns with one context and 1.8 µs with a million of them, because each read is recorded for its
/// eviction policy; a read of this map costs a tenth of that (`docs/decisions/0002-the-cache.md`).
#[derive(Debug)]
pub(super) struct Index(HashMap<Fingerprint, Entry, FingerprintState>);

impl Index {
    fn new() -> Self {
        Self(HashMap::with_hasher(FingerprintState::default()))
    }

    /// Applies `read` to the entry, if there is one.
    pub(super) fn get<T>(&self, fingerprint: &Fingerprint, read: impl FnOnce(&Entry) -> T) -> Option<T> {
        self.0.pin().get(fingerprint).map(read)
    }

    /// Returns the context if it is valid at `now`.
    pub(super) fn valid(&self, fingerprint: &Fingerprint, now: UnixTime) -> Option<Arc<UserContext>> {
        self.get(fingerprint, |entry| (entry.freshness(now) != Freshness::Expired).then(|| Arc::clone(&entry.context)))
            .flatten()
    }

    fn insert(&self, fingerprint: Fingerprint, entry: Entry) {
        self.0.pin().insert(fingerprint, entry);
    }

    fn remove(&self, fingerprint: &Fingerprint) {
        self.0.pin().remove(fingerprint);
    }

    /// Removes the entry of `context`, unless it has been replaced.
    fn remove_context(&self, fingerprint: &Fingerprint, context: &Arc<UserContext>) {
        let _ = self.0.pin().remove_if(fingerprint, |_, entry| Arc::ptr_eq(&entry.context, context));
    }
}
