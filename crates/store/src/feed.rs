//! The event feed: what one process tells the others.

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    SealedStore, StoreError,
    key_ring::SealContext,
    sealed_store::{Unreadable, in_time, not_json, plaintext},
};

/// A position in the feed of a store: that of an event, or [`START`](Self::START). Positions grow from event to event; they need not be
/// consecutive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Position(u64);

impl Position {
    /// The position before the first event.
    pub const START: Self = Self(0);

    /// Creates the position with this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Returns the number of the position.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// Events of the feed, in their order.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Events<T = Bytes> {
    /// The events.
    pub events: Vec<T>,
    /// The position to continue from: that of the last event.
    pub position: Position,
    /// Whether the reader has missed events: the feed is bounded and has dropped some that were not read, or the position is not one of
    /// this feed, as after a restore from a backup.
    pub has_gap: bool,
}

impl<T> Events<T> {
    /// Creates an answer.
    #[must_use]
    pub const fn new(events: Vec<T>, position: Position, has_gap: bool) -> Self {
        Self { events, position, has_gap }
    }
}

impl SealedStore {
    /// Appends an event to the feed, sealed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn append_event<T: Serialize>(&self, event: &T) -> Result<Position, StoreError> {
        let plain = plaintext(event).map_err(not_json)?;
        in_time(self.store.append_event(self.keys.seal(SealContext::Event, &plain))).await
    }

    /// Returns the events after `after`, at most `limit`. An event that does not open counts as missed: [`has_gap`](Events::has_gap) is
    /// set.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn events_after<T: DeserializeOwned>(
        &self,
        after: Position,
        limit: usize,
    ) -> Result<Events<T>, StoreError> {
        let Events { events: sealed, position, mut has_gap } = in_time(self.store.events_after(after, limit)).await?;
        let mut events = Vec::with_capacity(sealed.len());
        for sealed in sealed {
            let plain = self.keys.open(SealContext::Event, &sealed).map_err(Unreadable::from);
            match plain.and_then(|plain| serde_json::from_slice(&plain).map_err(|_| Unreadable::Unknown)) {
                Ok(event) => events.push(event),
                Err(error) => {
                    tracing::warn!(%error, "an event of the store's feed does not open");
                    has_gap = true;
                }
            }
        }
        Ok(Events::new(events, position, has_gap))
    }

    /// Returns the position of the last event.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn last_position(&self) -> Result<Position, StoreError> {
        in_time(self.store.last_position()).await
    }

    /// Waits until the last event is another than the one at `after`, without a time limit: see [`Store::wait_for_events`](crate::Store::wait_for_events).
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn wait_for_events(&self, after: Position) -> Result<(), StoreError> {
        self.store.wait_for_events(after).await
    }
}
