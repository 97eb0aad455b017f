//! [`Snapshot`]: a key set, and how old it may become.

use std::time::Duration;

use http::HeaderMap;
use portcullis_core::UnixTime;
use portcullis_egress::max_age;
use portcullis_oauth::jwt::{HeaderCheckedJwt, KeySet};
use tokio::time::Instant;

/// How far the issuer's clock may be behind ours: `iat` counts whole seconds, and synchronized clocks differ by less than these.
const LEEWAY: Duration = Duration::from_secs(5);
/// How far in the future a token may claim to have been issued; any policy refuses it beyond that.
const FUTURE: Duration = Duration::from_mins(5);

const SHORTEST_INTERVAL: Duration = Duration::from_secs(60);
const USUAL_INTERVAL: Duration = Duration::from_secs(600);
const LONGEST_INTERVAL: Duration = Duration::from_secs(3600);

/// A key set as it was fetched.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) keys: KeySet,
    fetched_at: Instant,
    /// The same instant by the calendar, because tokens are dated by it.
    fetched_on: UnixTime,
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
    /// The keys that came with `headers`, requested at the instant `requested_at`, by the calendar `requested_on`.
    pub(crate) fn new(keys: KeySet, headers: &HeaderMap, requested_at: Instant, requested_on: UnixTime) -> Self {
        let interval = max_age(headers).unwrap_or(USUAL_INTERVAL).clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL);
        Self { keys, fetched_at: requested_at, fetched_on: requested_on, interval }
    }

    /// Whether `jwt` may be signed by a key that was published after this was fetched: it names a key (`kid`), and claims to have
    /// been issued later, or does not claim when.
    ///
    /// The claim is not verified: whoever forges it learns later that the token is refused, and nothing else follows from it.
    pub(crate) fn is_older_than(&self, jwt: &HeaderCheckedJwt, now: UnixTime) -> bool {
        jwt.key_id().is_some()
            && match jwt.claimed_issued_at() {
                Ok(Some(issued_at)) => issued_at + LEEWAY > self.fetched_on && issued_at <= now + FUTURE,
                Ok(None) => true,
                // A token that no policy accepts.
                Err(_) => false,
            }
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
