//! [`Snapshot`]: a key set, and how old it may become.

use std::time::Duration;

use http::HeaderMap;
use portcullis_egress::max_age;
use portcullis_oauth::jwt::KeySet;
use tokio::time::Instant;

const SHORTEST_INTERVAL: Duration = Duration::from_secs(60);
const USUAL_INTERVAL: Duration = Duration::from_secs(600);
const LONGEST_INTERVAL: Duration = Duration::from_secs(3600);

/// A key set as it was fetched.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) keys: KeySet,
    fetched_at: Instant,
    interval: Duration,
}

/// How old a [`Snapshot`] is, in the words for what is to be done about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Age {
    /// Used as it is.
    Fresh,
    /// Used as it is, and fetched again in the background.
    Stale,
    /// Fetched again before it is used, and used anyway if that fails: nobody has asked for so long that a withdrawn key
    /// could be in it without any outage.
    Old,
    /// Not used: a key that was withdrawn long ago could be in it.
    Expired,
}

impl Snapshot {
    /// The keys that came with `headers`, requested at the instant `requested_at`.
    pub(crate) fn new(keys: KeySet, headers: &HeaderMap, requested_at: Instant) -> Self {
        let interval = max_age(headers).unwrap_or(USUAL_INTERVAL).clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL);
        Self { keys, fetched_at: requested_at, interval }
    }

    pub(crate) fn age(&self, now: Instant, max_age: Duration) -> Age {
        let age = now.saturating_duration_since(self.fetched_at);
        if age >= max_age {
            Age::Expired
        } else if age >= 2 * self.interval {
            Age::Old
        } else if age >= self.interval {
            Age::Stale
        } else {
            Age::Fresh
        }
    }
}
