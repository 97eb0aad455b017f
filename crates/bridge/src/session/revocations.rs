//! [`Revocations`]: the provider is told that grants have ended.

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use portcullis_core::{GrantId, Reason};
use portcullis_grants::{ProviderClient, TokenSet};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

/// The provider is told that grants have ended, of a few at a time.
pub(super) struct Revocations {
    provider: Option<ProviderClient>,
    places: Arc<Semaphore>,
    in_flight: Arc<Mutex<HashSet<GrantId>>>,
    pub(super) tasks: TaskTracker,
}

/// So many at a time: a provider that logs out everybody is not to be flooded.
const AT_ONCE: usize = 8;

/// Whether the provider knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Revoked {
    /// It does, or it never will: it refuses to be told.
    Done,
    /// It may be told later.
    Retry,
}

/// A grant that the provider is being told of.
pub(super) struct InFlight {
    id: GrantId,
    all: Arc<Mutex<HashSet<GrantId>>>,
}

impl Revocations {
    pub(super) fn new(provider: Option<ProviderClient>) -> Self {
        Self {
            provider,
            places: Arc::new(Semaphore::new(AT_ONCE)),
            in_flight: Arc::default(),
            tasks: TaskTracker::new(),
        }
    }

    /// Whether the provider is told at all.
    pub(super) const fn are_wanted(&self) -> bool {
        self.provider.is_some()
    }

    /// Reserves the grant `id` for whoever tells the provider; `None` if somebody does already.
    pub(super) fn begin(&self, id: GrantId) -> Option<InFlight> {
        let is_new = lock(&self.in_flight).insert(id);
        is_new.then(|| InFlight { id, all: Arc::clone(&self.in_flight) })
    }

    /// Tells the provider that the grant with `tokens` has ended.
    pub(super) async fn tell(&self, tokens: &TokenSet) -> Revoked {
        let Some(provider) = &self.provider else { return Revoked::Done };
        let Ok(_place) = self.places.acquire().await else { return Revoked::Retry };
        let Err(error) = provider.revoke(tokens).await else { return Revoked::Done };
        let (provider, reason) = (provider.provider().name(), error.reason());
        tracing::warn!(provider, %reason, "a provider was not told that a grant has ended");
        // What it does not take today it does not take tomorrow.
        if error.is_transient() && reason != Reason::ClientRefused { Revoked::Retry } else { Revoked::Done }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        lock(&self.all).remove(&self.id);
    }
}

/// What is done under the lock does not panic.
fn lock(in_flight: &Mutex<HashSet<GrantId>>) -> MutexGuard<'_, HashSet<GrantId>> {
    in_flight.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Revocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revocations").field("are_wanted", &self.are_wanted()).finish_non_exhaustive()
    }
}
