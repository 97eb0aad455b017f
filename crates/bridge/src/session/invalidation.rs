//! [`ContextRevocations`] invalidates the user contexts of sessions in this process, and [`InvalidationFeed`] in the other processes that
//! share a durable store.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use portcullis_core::{GrantId, Revocation, Upstream};
use portcullis_store::{Position, SealedStore, StoreError};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

/// An event of the feed: a process has invalidated the contexts of a session.
#[derive(Serialize, Deserialize)]
struct Invalidation {
    /// The process, as a random number.
    origin: u64,
    /// The id of the session.
    session: [u8; 16],
}

/// The feed of invalidations in a store. Every process appends its own and applies those of the others.
///
/// 1. The events of a process reach the others within a second, while the store answers.
/// 2. While the store does not answer, nothing is missed: reading continues at the last position. Contexts live no longer than the cache
///    allows meanwhile.
/// 3. A process that has missed events, because the feed is bounded, invalidates every context.
/// 4. The first context of a process is created after the position of the feed has been read, so that no event of another process is
///    missed between the two. If that read fails, contexts are created nevertheless, and invalidated when reading begins.
#[derive(Debug)]
pub(super) struct InvalidationFeed {
    store: SealedStore,
    origin: u64,
    /// Becomes `true` after the first attempt to read the position.
    has_begun: watch::Sender<bool>,
}

/// The maximum number of events that are read at once.
const PAGE: usize = 256;

/// How long the reader waits for events before it checks that its bridge still exists.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// The delay after a failure of the store.
const RETRY_AFTER: Duration = Duration::from_millis(500);

impl InvalidationFeed {
    /// Creates the feed in `store`. Returns `None` if no other process can share the store.
    pub(super) fn new(store: &SealedStore) -> Option<Self> {
        store.is_durable().then(|| Self {
            store: store.clone(),
            origin: rand::random(),
            has_begun: watch::Sender::new(false),
        })
    }

    /// Tells the other processes that the contexts of a session are invalid. If the store fails, their contexts remain valid until they
    /// expire.
    pub(super) async fn append(&self, id: GrantId) {
        let event = Invalidation { origin: self.origin, session: *id.as_bytes() };
        if let Err(error) = self.store.append_event(&event).await {
            tracing::warn!(session = %id, %error, "invalidation of a session could not be sent to other processes");
        }
    }

    /// Applies the events of other processes to `contexts`, as long as they exist.
    pub(super) fn follow(&self, contexts: Weak<ContextRevocations>) {
        let has_begun = self.has_begun.clone();
        let reader = Reader { store: self.store.clone(), origin: self.origin, contexts, has_begun, position: None };
        tokio::spawn(reader.run());
    }

    /// Waits for the first attempt to read the position of the feed. Returns at once after that, or if the reader has stopped.
    pub(super) async fn begun(&self) {
        // An error cannot occur: this sender exists.
        drop(self.has_begun.subscribe().wait_for(|has_begun| *has_begun).await);
    }
}

struct Reader {
    store: SealedStore,
    origin: u64,
    contexts: Weak<ContextRevocations>,
    has_begun: watch::Sender<bool>,
    position: Option<Position>,
}

/// Lets contexts be created even if the reader ends in any other way, such as with its runtime.
impl Drop for Reader {
    fn drop(&mut self) {
        self.has_begun.send_replace(true);
    }
}

impl Reader {
    async fn run(mut self) {
        let mut is_failing = false;
        while self.contexts.strong_count() > 0 {
            match self.step().await {
                Ok(()) => is_failing = false,
                Err(error) => {
                    if !is_failing {
                        tracing::warn!(%error, "invalidations of other processes cannot be read");
                    }
                    is_failing = true;
                    sleep(RETRY_AFTER).await;
                }
            }
        }
    }

    /// Waits for events and applies them.
    async fn step(&mut self) -> Result<(), StoreError> {
        let Some(position) = self.position else {
            let last = self.store.last_position().await;
            if self.has_begun.send_replace(true) && last.is_ok() {
                // Contexts that were created after the first attempt may have been invalidated by an event before `last`.
                self.apply(ContextRevocations::revoke_all);
            }
            self.position = Some(last?);
            return Ok(());
        };
        if let Ok(waited) = timeout(CHECK_EVERY, self.store.wait_for_events(position)).await {
            waited?;
        }
        // Also if the wait timed out: a store that hangs fails here, and this is logged.
        let events = self.store.events_after::<Invalidation>(position, PAGE).await?;
        self.apply(|contexts| {
            if events.has_gap {
                tracing::warn!("invalidations of other processes were missed: invalidating all contexts");
                contexts.revoke_all();
            }
            for Invalidation { session, .. } in events.events.iter().filter(|event| event.origin != self.origin) {
                contexts.revoke(GrantId::from_bytes(*session));
            }
        });
        self.position = Some(events.position);
        Ok(())
    }

    fn apply(&self, change: impl FnOnce(&ContextRevocations)) {
        if let Some(contexts) = self.contexts.upgrade() {
            change(&contexts);
        }
    }
}

/// The revocation handles of the user contexts in this process, by session. Revoking one invalidates cached contexts and ends open
/// streams. A token that is still valid gets a new context at the next request.
#[derive(Debug, Default)]
pub(super) struct ContextRevocations(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    revocations: HashMap<GrantId, Weak<Revocation>>,
    /// The size at which entries without a live context are removed.
    full: usize,
}

/// The minimum of that size.
const MIN_FULL: usize = 1024;

impl ContextRevocations {
    /// Adds the revocation of session `id` to `grant`.
    pub(super) fn attach(&self, id: GrantId, grant: Upstream) -> Upstream {
        let revocation = self.revocation(id, &grant);
        grant.with_revocation(revocation)
    }

    fn revocation(&self, id: GrantId, grant: &Upstream) -> Arc<Revocation> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(revocation) = known.revocations.get(&id).and_then(Weak::upgrade).filter(|known| !known.is_revoked())
        {
            return revocation;
        }
        if known.revocations.len() >= known.full.max(MIN_FULL) {
            known.revocations.retain(|_, revocation| revocation.strong_count() > 0);
            known.full = known.revocations.len() * 2;
        }
        let revocation = Arc::new(grant.revocation().map_or_else(Revocation::new, Revocation::following));
        known.revocations.insert(id, Arc::downgrade(&revocation));
        revocation
    }

    /// Revokes the contexts of a session. Contexts that are created later are not affected.
    pub(super) fn revoke(&self, id: GrantId) {
        let revocation = self.0.lock().unwrap_or_else(PoisonError::into_inner).revocations.remove(&id);
        if let Some(revocation) = revocation.and_then(|revocation| revocation.upgrade()) {
            revocation.revoke();
        }
    }

    /// Revokes the contexts of all sessions, as [`revoke`](Self::revoke) does those of one.
    pub(super) fn revoke_all(&self) {
        let revocations = std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).revocations);
        revocations
            .into_values()
            .filter_map(|revocation| revocation.upgrade())
            .for_each(|revocation| revocation.revoke());
    }
}
