//! [`Schedule`]: when the next fetch may begin.

use std::time::Duration;

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use portcullis_core::{AuthError, Reason};
use portcullis_egress::back_off_window;
use tokio::time::Instant;

const COOL_DOWN: Duration = Duration::from_secs(30);

/// One fetch, shared by all who wait for it. It goes on when they go away.
pub(crate) type Flight = Shared<BoxFuture<'static, Result<(), AuthError>>>;

/// When the next fetch may begin. Behind a lock that is never held across an `await`.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    flight: Option<Flight>,
    failures: Option<Failures>,
    /// Until when no unknown `kid` starts a fetch. Set when one does, whatever comes of it.
    cool_until: Option<Instant>,
}

/// That the last fetch failed, and how many before it.
#[derive(Debug)]
struct Failures {
    count: u32,
    back_off_until: Instant,
    last: AuthError,
}

impl Schedule {
    /// The fetch that is under way, or the one that `start` starts, unless the issuer failed a moment ago.
    pub(crate) fn fetch(&mut self, now: Instant, start: impl FnOnce() -> Flight) -> Result<Flight, AuthError> {
        // One that is over takes itself away, unless its runtime stopped before it began.
        if let Some(flight) = self.flight.as_ref().filter(|flight| flight.peek().is_none()) {
            return Ok(flight.clone());
        }
        if let Some(failures) = self.failures.as_ref().filter(|failures| now < failures.back_off_until) {
            return Err(failures.refusal(failures.back_off_until - now));
        }
        Ok(self.flight.insert(start()).clone())
    }

    /// As [`fetch`](Self::fetch), because of a `kid` that is not in the set: at most one per cool-down. `is_newer` says whether the
    /// token may be newer than the set, so that only the fetch after the cool-down will tell.
    pub(crate) fn reload(
        &mut self,
        now: Instant,
        is_newer: bool,
        start: impl FnOnce() -> Flight,
    ) -> Result<Flight, AuthError> {
        let cooling = self.cool_until.filter(|end| now < *end);
        match (&self.flight, cooling, &self.failures) {
            (None, Some(end), Some(failures)) => Err(failures.refusal(end - now)),
            (None, Some(end), None) if is_newer => Err(AuthError::new(Reason::KeySetUnavailable)
                .with_source(
                    "the `kid` is not in the key set, which is older than the token and cannot be fetched again yet",
                )
                .with_retry_after(end - now)),
            (None, Some(_), None) => Err(AuthError::new(Reason::UnknownKey)),
            (Some(_), ..) => self.fetch(now, start),
            (None, None, _) => {
                let flight = self.fetch(now, start)?;
                self.cool_until = Some(now + COOL_DOWN);
                Ok(flight)
            }
        }
    }

    pub(crate) fn succeeded(&mut self) {
        self.failures = None;
    }

    /// Notes that a fetch failed, and says what those are told who waited for it.
    pub(crate) fn failed(&mut self, now: Instant, error: AuthError) -> AuthError {
        let count = self.failures.as_ref().map_or(0, |failures| failures.count.saturating_add(1));
        let back_off = back_off_window(count, error.retry_after());
        let failures = Failures { count, back_off_until: now + back_off, last: error };
        self.failures.insert(failures).refusal(back_off)
    }

    pub(crate) fn landed(&mut self) {
        self.flight = None;
    }
}

impl Failures {
    fn refusal(&self, retry_after: Duration) -> AuthError {
        AuthError::new(Reason::KeySetUnavailable).with_source(self.last.clone()).with_retry_after(retry_after)
    }
}

/// The flight that ends when `task` does; a task that panicked or was shut down has told us nothing about any token.
pub(crate) fn flight(task: tokio::task::JoinHandle<Result<(), AuthError>>) -> Flight {
    let landed =
        task.map(|end| end.unwrap_or_else(|error| Err(AuthError::new(Reason::VerifierFailed).with_source(error))));
    landed.boxed().shared()
}
