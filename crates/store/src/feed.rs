//! The event feed: what one process tells the others.

use bytes::Bytes;

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
