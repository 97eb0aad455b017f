//! [`Schedule`] and [`Snapshot`]: when a key set is fetched again, and for how long a fetched one is used.

use std::time::Duration;

use http::HeaderMap;
use portcullis_core::{AuthError, Reason, UnixTime};
use portcullis_egress::back_off_window;
use portcullis_oauth::jwt::{HeaderCheckedJwt, KeySet};
use tokio::time::Instant;

use crate::{SharedTask, max_age};

/// One fetch, shared by all that wait for it.
pub(crate) type Fetch = SharedTask<Result<(), AuthError>>;

/// The time between two fetches that unknown `kid`s start.
const COOL_DOWN: Duration = Duration::from_secs(30);
/// How far the issuer's clock may be behind this server's: `iat` counts whole seconds, and synchronized clocks differ by less than this.
const LEEWAY: Duration = Duration::from_secs(5);
/// How far in the future a token may claim to have been issued; any policy refuses it beyond that.
const FUTURE: Duration = Duration::from_mins(5);

const SHORTEST_INTERVAL: Duration = Duration::from_secs(60);
const DEFAULT_INTERVAL: Duration = Duration::from_secs(600);
const LONGEST_INTERVAL: Duration = Duration::from_secs(3600);

/// Decides when the next fetch may begin. It is kept behind a lock that is never held across an `await`.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    fetch: Option<Fetch>,
    failures: Option<Failures>,
    /// Until when no unknown `kid` starts a fetch. Set when one does, whatever the outcome of the fetch is.
    cool_until: Option<Instant>,
}

/// The last fetch failed, after `count` others.
#[derive(Debug)]
struct Failures {
    count: u32,
    back_off_until: Instant,
    last: AuthError,
}

impl Schedule {
    /// Returns the running fetch, or the one that `start` starts, unless the last one failed and its back-off window is not over.
    pub(crate) fn fetch(&mut self, now: Instant, start: impl FnOnce() -> Fetch) -> Result<Fetch, AuthError> {
        if let Some(running) = self.running() {
            return Ok(running.clone());
        }
        if let Some(failures) = self.failures.as_ref().filter(|failures| now < failures.back_off_until) {
            return Err(failures.refusal(failures.back_off_until - now));
        }
        Ok(self.fetch.insert(start()).clone())
    }

    /// As [`fetch`](Self::fetch), because of a `kid` that is not in the set: at most once per cool-down. `is_newer` says whether the
    /// token may be newer than the set, so that only the fetch after the cool-down will tell.
    pub(crate) fn reload(
        &mut self,
        now: Instant,
        is_newer: bool,
        start: impl FnOnce() -> Fetch,
    ) -> Result<Fetch, AuthError> {
        let cooling = self.cool_until.filter(|end| now < *end);
        match (self.running(), cooling, &self.failures) {
            (Some(running), ..) => Ok(running.clone()),
            (None, Some(end), Some(failures)) => Err(failures.refusal(end - now)),
            (None, Some(end), None) if is_newer => Err(AuthError::new(Reason::KeySetUnavailable)
                .with_source(
                    "the `kid` is not in the key set, which is older than the token and cannot be fetched again yet",
                )
                .with_retry_after(end - now)),
            (None, Some(_), None) => Err(AuthError::new(Reason::UnknownKey)),
            (None, None, _) => {
                let fetch = self.fetch(now, start)?;
                self.cool_until = Some(now + COOL_DOWN);
                Ok(fetch)
            }
        }
    }

    /// Notes that the fetch brought a key set.
    pub(crate) fn succeeded(&mut self) {
        (self.fetch, self.failures) = (None, None);
    }

    /// Notes that the fetch failed, and returns the error for its waiters.
    pub(crate) fn failed(&mut self, now: Instant, error: AuthError) -> AuthError {
        self.fetch = None;
        let count = self.failures.as_ref().map_or(0, |failures| failures.count.saturating_add(1));
        let back_off = back_off_window(count, error.retry_after());
        let failures = Failures { count, back_off_until: now + back_off, last: error };
        self.failures.insert(failures).refusal(back_off)
    }

    /// Returns the fetch that is under way. One that panicked or lost its runtime is not.
    fn running(&self) -> Option<&Fetch> {
        self.fetch.as_ref().filter(|fetch| !fetch.is_finished())
    }
}

impl Failures {
    fn refusal(&self, retry_after: Duration) -> AuthError {
        AuthError::new(Reason::KeySetUnavailable).with_source(self.last.clone()).with_retry_after(retry_after)
    }
}

/// A key set as it was fetched.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) keys: KeySet,
    fetched_at: Instant,
    /// The same instant as a calendar time, because tokens contain calendar times.
    fetched_on: UnixTime,
    interval: Duration,
}

/// The age of a [`Snapshot`], named by what follows from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Age {
    /// Used as it is.
    Fresh,
    /// Used as it is, and fetched again in the background.
    Stale,
    /// Fetched again before it is used, and used anyway if that fails: no token has needed it for a long time, so a withdrawn key
    /// could be in it without any outage.
    Old,
    /// Not used: a key that was withdrawn long ago could be in it.
    Expired,
}

impl Snapshot {
    /// Creates the snapshot of `keys`, which came with `headers` and were requested at `requested_at`, which is `requested_on`.
    pub(crate) fn new(keys: KeySet, headers: &HeaderMap, requested_at: Instant, requested_on: UnixTime) -> Self {
        let interval = max_age(headers).unwrap_or(DEFAULT_INTERVAL).clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL);
        Self { keys, fetched_at: requested_at, fetched_on: requested_on, interval }
    }

    /// Reports whether `jwt` may be signed by a key that was published after the snapshot was fetched: it names a key (`kid`), and
    /// claims to have been issued later, or does not claim when.
    ///
    /// The claim is not verified. A forged one delays the refusal of that token, and has no other effect.
    pub(crate) fn is_older_than(&self, jwt: &HeaderCheckedJwt, now: UnixTime) -> bool {
        jwt.key_id().is_some()
            && match jwt.claimed_issued_at() {
                Ok(Some(issued_at)) => issued_at + LEEWAY > self.fetched_on && issued_at <= now + FUTURE,
                Ok(None) => true,
                // No policy accepts such a token.
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
