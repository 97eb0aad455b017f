//! [`InvalidationFeed`]: processes that share a durable store hear of each other's invalidations.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use portcullis_core::GrantId;
use portcullis_store::{Position, SealedStore, StoreError};
use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};

use super::store::Inner;

/// What one process tells the others.
#[derive(Serialize, Deserialize)]
struct Invalidation {
    /// The process that has invalidated the contexts, by a random number.
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
#[derive(Debug)]
pub(super) struct InvalidationFeed {
    store: SealedStore,
    origin: u64,
}

/// How many events are read in one step.
const PAGE: usize = 256;

/// How long a reader waits before it checks that its bridge still exists.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// How long a reader waits after the store has failed.
const RETRY_AFTER: Duration = Duration::from_millis(500);

impl InvalidationFeed {
    /// Creates the feed in `store`; `None` if no other process can share the store.
    pub(super) fn new(store: &SealedStore) -> Option<Self> {
        store.is_durable().then(|| Self { store: store.clone(), origin: rand::random() })
    }

    /// Tells the other processes that the contexts of a session are invalid. If the store fails, they find out when their contexts
    /// expire.
    pub(super) async fn append(&self, id: GrantId) {
        let event = Invalidation { origin: self.origin, session: *id.as_bytes() };
        if let Err(error) = self.store.append_event(&event).await {
            tracing::warn!(session = %id, %error, "other processes could not be told that a session is invalid");
        }
    }

    /// Applies the events of the other processes to `sessions`, for as long as they exist.
    pub(super) fn follow(&self, sessions: Weak<Inner>) {
        let reader = Reader { store: self.store.clone(), origin: self.origin, sessions, position: None };
        tokio::spawn(reader.run());
    }
}

struct Reader {
    store: SealedStore,
    origin: u64,
    sessions: Weak<Inner>,
    position: Option<Position>,
}

impl Reader {
    async fn run(mut self) {
        let mut is_failing = false;
        while self.sessions.strong_count() > 0 {
            match self.step().await {
                Ok(()) => is_failing = false,
                Err(error) => {
                    if !is_failing {
                        tracing::warn!(%error, "the invalidations of other processes cannot be read");
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
            let last = self.store.last_position().await?;
            // Contexts that were made before may be invalid by an event before.
            self.apply(|sessions| sessions.contexts.revoke_all());
            self.position = Some(last);
            return Ok(());
        };
        let Ok(waited) = timeout(CHECK_EVERY, self.store.wait_for_events(position)).await else { return Ok(()) };
        waited?;
        let events = self.store.events_after::<Invalidation>(position, PAGE).await?;
        self.apply(|sessions| {
            if events.has_gap {
                tracing::warn!("invalidations of other processes were missed: all contexts are invalidated");
                sessions.contexts.revoke_all();
            }
            for Invalidation { session, .. } in events.events.iter().filter(|event| event.origin != self.origin) {
                sessions.contexts.revoke(GrantId::from_bytes(*session));
            }
        });
        self.position = Some(events.position);
        Ok(())
    }

    fn apply(&self, change: impl FnOnce(&Arc<Inner>)) {
        if let Some(sessions) = self.sessions.upgrade() {
            change(&sessions);
        }
    }
}
