//! [`Entry`]: what is known of one client's document.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use portcullis_core::UnixTime;
use portcullis_egress::back_off_window;
use portcullis_remote::SharedTask;
use tokio::time::Instant;

use super::{Fetched, Unfetched};
use crate::{clients::Client, oauth_error::OAuthError};

/// One fetch, shared by all callers that wait for it.
pub(super) type Flight = SharedTask<Result<Client, Unfetched>>;

/// A kept copy is replaced if it is so much older: a document costs a write now and then, not for each token.
const KEEP_EVERY: Duration = Duration::from_hours(1);

/// What is known of one client's document. Its lock is never held across an `await`.
#[derive(Default)]
pub(super) struct Entry(Mutex<State>);

#[derive(Default)]
struct State {
    document: Option<Fetched>,
    /// How old the copy in the store is.
    kept: Option<UnixTime>,
    flight: Option<Flight>,
    failures: Option<Failures>,
}

/// That the last fetch came to nothing, and how many before it.
struct Failures {
    count: u32,
    until: Instant,
    last: Unfetched,
}

/// What is to be done for somebody who wants the client.
pub(super) enum Look {
    Known(Client),
    Unfetched(Unfetched),
    /// To be waited for; longer if there is nothing to fall back to.
    Pending {
        flight: Flight,
        fallback: Option<Client>,
    },
}

impl Entry {
    /// One with a copy from the store.
    pub(super) fn of(kept: Fetched) -> Self {
        let kept_at = Some(kept.fetched_at());
        Self(Mutex::new(State { document: Some(kept), kept: kept_at, ..State::default() }))
    }

    /// The client if its document is fresh; else the fetch that is under way, or that `start` starts, unless one failed a moment
    /// ago.
    ///
    /// # Errors
    /// Those of `start`, if there is nothing to fall back to. They are of whoever asks, and nobody else hears of them.
    pub(super) fn look(
        &self,
        now: UnixTime,
        start: impl FnOnce() -> Result<Flight, OAuthError>,
    ) -> Result<Look, OAuthError> {
        let mut state = self.lock();
        if let Some(document) = state.document.as_ref().filter(|document| document.is_fresh(now)) {
            return Ok(Look::Known(document.client.clone()));
        }
        let fallback = state.usable(now);
        // A fetch that has ended removes itself, unless it panicked or its runtime stopped.
        if let Some(flight) = state.flight.as_ref().filter(|flight| !flight.is_finished()) {
            return Ok(Look::Pending { flight: flight.clone(), fallback });
        }
        if let Some(failures) = state.failures.as_ref().filter(|failures| Instant::now() < failures.until) {
            return Ok(fallback.map_or_else(|| Look::Unfetched(failures.last.clone()), Look::Known));
        }
        match (start(), fallback) {
            (Ok(flight), fallback) => Ok(Look::Pending { flight: state.flight.insert(flight).clone(), fallback }),
            (Err(_), Some(client)) => Ok(Look::Known(client)),
            (Err(error), None) => Err(error),
        }
    }

    /// The fetch is over. The client, if it may be used.
    pub(super) fn landed(&self, outcome: Result<Fetched, Unfetched>, now: UnixTime) -> Result<Client, Unfetched> {
        let mut state = self.lock();
        state.flight = None;
        match outcome {
            Ok(document) => {
                state.failures = None;
                Ok(state.document.insert(document).client.clone())
            }
            Err(why) => {
                let count = state.failures.as_ref().map_or(0, |failures| failures.count.saturating_add(1));
                let until = Instant::now() + back_off_window(count, None);
                state.failures = Some(Failures { count, until, last: why.clone() });
                if matches!(why, Unfetched::Refused(_)) {
                    // What the host says now counts, and not what it has said.
                    state.document = None;
                    state.kept = None;
                }
                state.usable(now).ok_or(why)
            }
        }
    }

    /// What should be in the store and is not.
    pub(super) fn unkept(&self) -> Option<Fetched> {
        let state = self.lock();
        let is_old = |document: &&Fetched| state.kept.is_none_or(|kept| document.fetched_at() >= kept + KEEP_EVERY);
        state.document.as_ref().filter(is_old).cloned()
    }

    /// Whether there is a copy in the store: users have been given tokens through the client.
    pub(super) fn is_kept(&self) -> bool {
        self.lock().kept.is_some()
    }

    /// It is in the store.
    pub(super) fn kept(&self, document: &Fetched) {
        self.lock().kept = Some(document.fetched_at());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn usable(&self, now: UnixTime) -> Option<Client> {
        self.document.as_ref().filter(|document| document.is_usable(now)).map(|document| document.client.clone())
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("document", &self.lock().document).finish_non_exhaustive()
    }
}
