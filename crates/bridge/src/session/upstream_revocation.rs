//! [`UpstreamRevocations`]: revokes ended grants at the provider.

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use portcullis_core::{GrantId, Reason};
use portcullis_refresh::TokenSet;
use portcullis_upstream::ProviderClient;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

/// Revokes ended grants at the provider, with limited concurrency.
pub(super) struct UpstreamRevocations {
    provider: Option<ProviderClient>,
    permits: Arc<Semaphore>,
    in_flight: Arc<Mutex<HashSet<GrantId>>>,
    pub(super) tasks: TaskTracker,
}

/// The maximum number of concurrent requests, for providers that log out all users at once.
const CONCURRENCY: usize = 8;

/// The outcome of a revocation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Revoked {
    /// Revoked, or rejected permanently.
    Done,
    /// It may succeed later.
    Retry,
}

/// A guard for a grant whose revocation is in flight.
pub(super) struct InFlight {
    id: GrantId,
    all: Arc<Mutex<HashSet<GrantId>>>,
}

impl UpstreamRevocations {
    pub(super) fn new(provider: Option<ProviderClient>) -> Self {
        Self {
            provider,
            permits: Arc::new(Semaphore::new(CONCURRENCY)),
            in_flight: Arc::default(),
            tasks: TaskTracker::new(),
        }
    }

    /// Reports whether grants are revoked at the provider.
    pub(super) const fn are_enabled(&self) -> bool {
        self.provider.is_some()
    }

    /// Begins the revocation of the grant `id`; `None` if one is in flight.
    pub(super) fn begin(&self, id: GrantId) -> Option<InFlight> {
        let is_new = lock(&self.in_flight).insert(id);
        is_new.then(|| InFlight { id, all: Arc::clone(&self.in_flight) })
    }

    /// Revokes `tokens` at the provider.
    pub(super) async fn revoke(&self, tokens: &TokenSet) -> Revoked {
        let Some(provider) = &self.provider else { return Revoked::Done };
        let Ok(_permit) = self.permits.acquire().await else { return Revoked::Retry };
        let Err(error) = provider.revoke(tokens).await else { return Revoked::Done };
        let (provider, reason) = (provider.provider().name(), error.reason());
        tracing::warn!(provider, %reason, "revocation at the provider failed");
        // A permanent rejection is not repeated.
        if error.is_transient() && reason != Reason::ClientRefused { Revoked::Retry } else { Revoked::Done }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        lock(&self.all).remove(&self.id);
    }
}

/// Code under the lock does not panic.
fn lock(in_flight: &Mutex<HashSet<GrantId>>) -> MutexGuard<'_, HashSet<GrantId>> {
    in_flight.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for UpstreamRevocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamRevocations").field("are_enabled", &self.are_enabled()).finish_non_exhaustive()
    }
}
