//! [`DocumentEntry`]: the state of one client's metadata document in this process.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use portcullis_core::UnixTime;
use portcullis_egress::back_off_window;
use portcullis_remote::SharedTask;
use tokio::time::Instant;

use super::{
    Client,
    document::{FetchError, FetchedDocument},
};
use crate::response::OAuthError;

/// A fetch that all waiting callers share.
pub(super) type SharedFetch = SharedTask<Result<Client, FetchError>>;

/// The minimum time between two writes of one document to the store: a write per token would be too expensive.
const STORE_INTERVAL: Duration = Duration::from_hours(1);

/// The state of one client's metadata document in this process. Its lock is never held across an `await`.
#[derive(Default)]
pub(super) struct DocumentEntry(Mutex<State>);

#[derive(Default)]
struct State {
    document: Option<FetchedDocument>,
    /// When the copy in the store was fetched.
    stored_at: Option<UnixTime>,
    fetch: Option<SharedFetch>,
    failures: Option<Failures>,
}

/// Consecutive failed fetches.
struct Failures {
    count: u32,
    retry_at: Instant,
    last: FetchError,
}

/// What a lookup found.
pub(super) enum Lookup {
    Cached(Client),
    Failed(FetchError),
    /// A fetch is in flight. Without a `fallback` the caller waits for its end.
    Pending {
        fetch: SharedFetch,
        fallback: Option<Client>,
    },
}

impl DocumentEntry {
    /// Creates an entry from a copy in the store.
    pub(super) fn from_store(document: FetchedDocument) -> Self {
        let stored_at = Some(document.fetched_at());
        Self(Mutex::new(State { document: Some(document), stored_at, ..State::default() }))
    }

    /// Returns the client if its document is fresh; else the fetch that is in flight, or the one that `start` starts, unless the
    /// last one failed within the back-off window.
    ///
    /// # Errors
    /// The error of `start`, if there is no fallback. It concerns this caller only and is not stored in the entry.
    pub(super) fn look_up(
        &self,
        now: UnixTime,
        start: impl FnOnce() -> Result<SharedFetch, OAuthError>,
    ) -> Result<Lookup, OAuthError> {
        let mut state = self.lock();
        if let Some(document) = state.document.as_ref().filter(|document| document.is_fresh(now)) {
            return Ok(Lookup::Cached(document.client.clone()));
        }
        let fallback = state.usable(now);
        // `complete` removes a finished fetch, unless it panicked or its runtime stopped.
        if let Some(fetch) = state.fetch.as_ref().filter(|fetch| !fetch.is_finished()) {
            return Ok(Lookup::Pending { fetch: fetch.clone(), fallback });
        }
        if let Some(failures) = state.failures.as_ref().filter(|failures| Instant::now() < failures.retry_at) {
            return Ok(fallback.map_or_else(|| Lookup::Failed(failures.last.clone()), Lookup::Cached));
        }
        match (start(), fallback) {
            (Ok(fetch), fallback) => Ok(Lookup::Pending { fetch: state.fetch.insert(fetch).clone(), fallback }),
            (Err(_), Some(client)) => Ok(Lookup::Cached(client)),
            (Err(error), None) => Err(error),
        }
    }

    /// Installs the outcome of a fetch, and returns the client if it may be used.
    pub(super) fn complete(
        &self,
        outcome: Result<FetchedDocument, FetchError>,
        now: UnixTime,
    ) -> Result<Client, FetchError> {
        let mut state = self.lock();
        state.fetch = None;
        match outcome {
            Ok(document) => {
                state.failures = None;
                Ok(state.document.insert(document).client.clone())
            }
            Err(error) => {
                let count = state.failures.as_ref().map_or(0, |failures| failures.count.saturating_add(1));
                let retry_at = Instant::now() + back_off_window(count, None);
                state.failures = Some(Failures { count, retry_at, last: error.clone() });
                if matches!(error, FetchError::Rejected(_)) {
                    // The host's present answer replaces its former one.
                    state.document = None;
                    state.stored_at = None;
                }
                state.usable(now).ok_or(error)
            }
        }
    }

    /// Returns the document if the store has no copy of it, or an old one.
    pub(super) fn document_to_store(&self) -> Option<FetchedDocument> {
        let state = self.lock();
        let is_old =
            |document: &&FetchedDocument| state.stored_at.is_none_or(|at| document.fetched_at() >= at + STORE_INTERVAL);
        state.document.as_ref().filter(is_old).cloned()
    }

    /// Reports whether the store has a copy, which means that users have received tokens through the client.
    pub(super) fn is_stored(&self) -> bool {
        self.lock().stored_at.is_some()
    }

    /// Notes that the store has a copy of `document`.
    pub(super) fn set_stored(&self, document: &FetchedDocument) {
        self.lock().stored_at = Some(document.fetched_at());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Code under the lock does not panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn usable(&self, now: UnixTime) -> Option<Client> {
        self.document.as_ref().filter(|document| document.is_usable(now)).map(|document| document.client.clone())
    }
}

impl fmt::Debug for DocumentEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DocumentEntry").field("document", &self.lock().document).finish_non_exhaustive()
    }
}
