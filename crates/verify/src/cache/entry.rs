//! [`Entry`]: a cached context and its times.

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

/// The time from the start of one revalidation to the next one, and so the pause after one that failed.
const REVALIDATION_PAUSE: Duration = Duration::from_secs(15);

/// How long a context past its time to live is used before the failing provider is asked again.
const STALE_PAUSE: Duration = Duration::from_secs(1);

/// A cached context and its times. They are calendar times, because the token's expiry is one: if the wall clock is stepped forward,
/// entries expire early; if it is stepped back, moka's own, monotonic expiry still holds.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) context: Arc<UserContext>,
    /// The end of its time to live.
    valid_until: UnixTime,
    /// The end of its use during an outage (stale-if-error).
    usable_until: UnixTime,
    revalidate_at: AtomicU64,
    used_at: AtomicU64,
}

/// The state of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Freshness {
    /// Valid.
    Fresh,
    /// Valid, and this caller has to revalidate it.
    Stale,
    /// Not valid any more.
    Expired,
}

impl Entry {
    /// Creates the entry of `context`, which was resolved at `now`; `None` if the token is only accepted because of the leeway.
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

    /// Returns a copy that is valid for a short time more, because the provider is unavailable; `None` if the bound is reached.
    pub(super) fn stale_copy(&self, now: UnixTime) -> Option<Self> {
        (self.usable_until > now && !self.context.revocation().is_revoked()).then(|| Self {
            context: Arc::clone(&self.context),
            valid_until: (now + STALE_PAUSE).min(self.usable_until),
            usable_until: self.usable_until,
            revalidate_at: AtomicU64::new(u64::MAX),
            used_at: AtomicU64::new(now.as_nanos()),
        })
    }

    /// Tells response streams, which hold the context for longer than one request, when to resolve the token again.
    pub(super) fn announce(&self) {
        self.context.set_fresh_until(self.valid_until);
    }

    /// Returns how long moka has to keep the entry.
    pub(super) fn lifetime(&self, now: UnixTime) -> Duration {
        self.usable_until.saturating_duration_since(now)
    }

    /// Returns the state of the entry. At most one caller per [`REVALIDATION_PAUSE`] gets [`Freshness::Stale`].
    pub(super) fn freshness(&self, now: UnixTime) -> Freshness {
        if now >= self.valid_until || self.context.revocation().is_revoked() {
            return Freshness::Expired;
        }
        let due = self.revalidate_at.load(Relaxed);
        if now.as_nanos() < due {
            return Freshness::Fresh;
        }
        // The caller that moves the time revalidates; after the pause another caller does, should the first one fail or hang.
        let next = (now + REVALIDATION_PAUSE).as_nanos();
        match self.revalidate_at.compare_exchange(due, next, Relaxed, Relaxed) {
            Ok(_) => Freshness::Stale,
            Err(_) => Freshness::Fresh,
        }
    }

    /// Reports whether this use should be reported to moka. Not each use is: that would cost more than the hit itself.
    pub(super) fn is_use_due(&self, now: UnixTime, every: Duration) -> bool {
        let used_at = UnixTime::from_nanos(self.used_at.load(Relaxed));
        let due = now.saturating_duration_since(used_at) >= every;
        if due {
            self.used_at.store(now.as_nanos(), Relaxed);
        }
        due
    }
}
