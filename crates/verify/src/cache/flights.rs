//! [`Flights`]: the resolutions under way, one per token.

use std::{
    collections::HashMap,
    fmt,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use portcullis_core::{AuthError, Fingerprint, FingerprintState, Reason, UserContext};
use tokio::task::JoinError;
use tracing::Instrument as _;

/// What a resolution comes to, for everybody who waits for it.
pub(super) type Outcome = Result<Arc<UserContext>, AuthError>;

/// A resolution to wait for. Dropping it cancels nothing.
pub(super) type Flight = Shared<BoxFuture<'static, Outcome>>;

/// The resolutions under way, one per token, each on a task of its own.
///
/// Not moka's `try_get_with`: that runs in the first caller's future, starts over when that caller goes away and panics the
/// two-hundredth waiter; spawned, it takes a task for each waiter; and it cannot replace an entry that has just expired
/// without a moment in which two resolutions start (`docs/decisions/0002-the-cache.md`).
#[derive(Clone, Default)]
pub(super) struct Flights(Arc<Mutex<HashMap<Fingerprint, Flight, FingerprintState>>>);

impl Flights {
    /// The resolution of this token under way, or else the one that `start` makes.
    ///
    /// `start` runs on the new task only. A task that panics refuses those who wait, and is gone like any other.
    pub(super) fn join<F>(&self, fingerprint: Fingerprint, start: impl FnOnce() -> F) -> Flight
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let mut flying = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // One that is over takes itself away, unless its runtime stopped before it began.
        if let Some(flight) = flying.get(&fingerprint).filter(|flight| flight.peek().is_none()) {
            return flight.clone();
        }
        let (resolution, flights) = (start(), self.clone());
        let span = tracing::debug_span!("portcullis.resolve", token = ?fingerprint);
        let task = tokio::spawn(
            async move {
                // Made on the task: one that is never polled, because the runtime stops, is dropped while we hold the lock.
                let _landing = Landing { flights, fingerprint };
                resolution.await
            }
            .instrument(span),
        );
        let outcome = task.map(|joined| joined.unwrap_or_else(|failed| Err(verifier_failed(&failed))));
        let flight = outcome.boxed().shared();
        flying.insert(fingerprint, flight.clone());
        flight
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

fn verifier_failed(failed: &JoinError) -> AuthError {
    tracing::error!(panicked = failed.is_panic(), "a token verifier failed");
    AuthError::new(Reason::VerifierFailed)
}

/// Takes a flight off the list when its task ends, in whatever way.
struct Landing {
    flights: Flights,
    fingerprint: Fingerprint,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.flights.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.fingerprint);
    }
}

impl fmt::Debug for Flights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flights").finish_non_exhaustive()
    }
}
