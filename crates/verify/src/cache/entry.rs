//! [`Entry`]: one remembered context and until when it may be used.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use portcullis_core::{UnixTime, UserContext};
use rand::RngExt as _;

use super::CacheConfig;

/// For how long nobody else starts a revalidation once one has been started, and the pause after one that failed.
const REVALIDATION_PAUSE: Duration = Duration::from_secs(15);

/// For how long a context past its time to live is used before the failing provider is asked again.
const STALE_PAUSE: Duration = Duration::from_secs(1);

/// One remembered context. The times are of the calendar, because the token's expiry is: a wall clock that is stepped
/// forward makes entries expire early, and one stepped back is bounded by the store's own, monotonic expiry.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) context: Arc<UserContext>,
    /// A hit until then.
    valid_until: UnixTime,
    /// Better than nothing until then.
    usable_until: UnixTime,
    revalidate_at: AtomicU64,
    used_at: AtomicU64,
}

/// What a look at an entry says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Freshness {
    Fresh,
    /// Good, and the caller has been chosen to revalidate it.
    Stale,
    /// No good any more.
    Dead,
}

impl Entry {
    /// What `context`, resolved `now`, becomes; `None` if the token lives on by its leeway only.
    pub(super) fn new(context: Arc<UserContext>, now: UnixTime, config: &CacheConfig) -> Option<Self> {
        let ttl = config.ttl.mul_f64(rand::rng().random_range(0.9..=1.0));
        let expires_at = context.expires_at().unwrap_or(UnixTime::MAX);
        let valid_until = (now + ttl).min(context.revalidate_at().unwrap_or(UnixTime::MAX));
        let revalidate_at = now + ttl.mul_f64(0.8);
        (valid_until > now).then(|| Self {
            context,
            valid_until,
            usable_until: (valid_until + config.stale_if_error).min(expires_at),
            revalidate_at: AtomicU64::new(revalidate_at.as_nanos()),
            used_at: AtomicU64::new(now.as_nanos()),
        })
    }

    /// The same context a little longer, because the provider cannot be asked; `None` if even that would be too long.
    pub(super) fn extended(&self, now: UnixTime) -> Option<Self> {
        (self.usable_until > now && !self.context.revocation().is_revoked()).then(|| Self {
            context: Arc::clone(&self.context),
            valid_until: (now + STALE_PAUSE).min(self.usable_until),
            usable_until: self.usable_until,
            revalidate_at: AtomicU64::new(u64::MAX),
            used_at: AtomicU64::new(now.as_nanos()),
        })
    }

    /// Tells whatever holds the context for longer than one request, such as a response stream, when to ask again.
    pub(super) fn announce(&self) {
        self.context.set_fresh_until(self.valid_until);
    }

    /// For how long the store has to keep it.
    pub(super) fn lifetime(&self, now: UnixTime) -> Duration {
        self.usable_until.saturating_duration_since(now)
    }

    pub(super) fn freshness(&self, now: UnixTime) -> Freshness {
        if now >= self.valid_until || self.context.revocation().is_revoked() {
            return Freshness::Dead;
        }
        let due = self.revalidate_at.load(Relaxed);
        if now.as_nanos() < due {
            return Freshness::Fresh;
        }
        // Whoever moves the date has the job; a job that fails or hangs is given out again after the pause.
        let next = (now + REVALIDATION_PAUSE).as_nanos();
        match self.revalidate_at.compare_exchange(due, next, Relaxed, Relaxed) {
            Ok(_) => Freshness::Stale,
            Err(_) => Freshness::Fresh,
        }
    }

    /// Whether the store should hear of this use. It need not hear of each: that would cost more than the hit itself.
    pub(super) fn is_use_due(&self, now: UnixTime, every: Duration) -> bool {
        let used_at = UnixTime::from_nanos(self.used_at.load(Relaxed));
        let due = now.saturating_duration_since(used_at) >= every;
        if due {
            self.used_at.store(now.as_nanos(), Relaxed);
        }
        due
    }
}
