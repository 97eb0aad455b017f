//! [`Store`]: where rows are kept, sealed.

use std::{
    error::Error,
    fmt,
    future::{Future, ready},
    pin::Pin,
    time::Duration,
};

use bytes::Bytes;
use portcullis_core::{AuthError, Reason, UnixTime};

use crate::{Collection, Events, Position, RecordKey};

/// Future of a [`Store`].
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Storage for sealed rows, leases on them, and a feed of events. It decides which of several concurrent changes comes first.
///
/// Every method is one round trip for a database, and finds rows by key, by expiry, or in the order of their keys: a store sees sealed
/// bytes and cannot search by value. The contract, which `conformance` (behind the feature of that name) checks for any store:
///
/// 1. Every change of a row is atomic: of any number of concurrent changes that expect the same version, or no row, one succeeds. A
///    change that was reported is durable, a removal as well.
/// 2. The version of a row grows with every write and never comes back, not even after the row was removed.
/// 3. A row that has expired is not found any more: it is not loaded, not on a page, and another row may be created in its place. It
///    stays in the store until it is removed or swept, for [`expired`](Self::expired), [`load_even_expired`](Self::load_even_expired),
///    and a write with [`Expected::EvenExpired`].
/// 4. A lease has one holder until it is released or expires. Each lease of a key has a higher fence than the lease before, and a write
///    under a lease that was released, or that another process has acquired since, is refused. A lease that ends later than twice the
///    requested time from now has expired as well: the clock was set back, and the lease would otherwise last for as long. So all
///    processes ask for similar times, at most a factor of two apart.
/// 5. Nothing is removed unless it is in the version that was seen, or has expired: by the clock of the store, and by a time that the
///    caller has [confirmed](crate::ConfirmedClock), because a clock may be wrong for a while.
/// 6. Events are read in one order by all processes, each once. The feed is bounded: it keeps at least the last 1,000 events, and a
///    reader that has fallen behind is told.
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Loads the row at `key`.
    fn load(&self, key: RecordKey) -> StoreFuture<'_, Option<StoredRow>>;

    /// Loads the row at `key`, also if it has expired: for a row whose expiry is an estimate, such as the tokens of another server.
    fn load_even_expired(&self, key: RecordKey) -> StoreFuture<'_, Option<StoredRow>>;

    /// Writes the row at `key` if it is as `expected`, and, with a lease, if the lease was neither released nor acquired by another
    /// process since. A write under a lease releases the lease in the same step; a refused write changes nothing.
    fn compare_and_swap(
        &self,
        key: RecordKey,
        expected: Expected,
        new: Row,
        lease: Option<Lease>,
    ) -> StoreFuture<'_, Swap>;

    /// Removes the row at `key` if it is in version `expected`, whether it has expired or not. Reports whether it was removed: to exactly
    /// one of several concurrent callers.
    fn compare_and_remove(&self, key: RecordKey, expected: Version) -> StoreFuture<'_, bool>;

    /// Acquires the lease of `key` for `ttl`. There need not be a row at the key.
    fn lease(&self, key: RecordKey, ttl: Duration) -> StoreFuture<'_, LeaseOutcome>;

    /// Extends a lease to `ttl` from now, even one that has expired. Returns `false` if the lease was released, or if another process
    /// has acquired it since.
    fn renew(&self, key: RecordKey, lease: Lease, ttl: Duration) -> StoreFuture<'_, bool>;

    /// Releases a lease. A lease that another process has acquired since stays as it is.
    fn release(&self, key: RecordKey, lease: Lease) -> StoreFuture<'_, ()>;

    /// Returns the rows that have expired, and not after `confirmed`, at most `limit`, the oldest first: for rows whose end needs work.
    /// They stay until they are removed.
    fn expired(
        &self,
        collection: Collection,
        confirmed: UnixTime,
        limit: usize,
    ) -> StoreFuture<'_, Vec<(RecordKey, StoredRow)>>;

    /// Returns the rows that have not expired, at most `limit`, the first to expire first: for making room.
    fn next_to_expire(&self, collection: Collection, limit: usize) -> StoreFuture<'_, Vec<(RecordKey, StoredRow)>>;

    /// Removes the rows that have expired, and not after `confirmed`, and forgets expired leases of keys without a row. Returns the number
    /// of rows removed.
    fn sweep(&self, collection: Collection, confirmed: UnixTime) -> StoreFuture<'_, u64>;

    /// Counts the rows. Rows that have expired and were not swept may be among them.
    fn count(&self, collection: Collection) -> StoreFuture<'_, u64>;

    /// Returns the rows after `after` that have not expired, in the order of their keys, at most `limit`. `after` is a key of the
    /// same collection.
    fn page(
        &self,
        collection: Collection,
        after: Option<RecordKey>,
        limit: usize,
    ) -> StoreFuture<'_, Vec<(RecordKey, StoredRow)>>;

    /// Appends an event to the feed. Returns its position.
    fn append_event(&self, event: Bytes) -> StoreFuture<'_, Position>;

    /// Returns the events after `after`, at most `limit`. If events after `after` have been dropped, or if `after` is not a position of
    /// this feed, [`has_gap`](Events::has_gap) is set, and the events are the oldest that there are.
    fn events_after(&self, after: Position, limit: usize) -> StoreFuture<'_, Events>;

    /// Returns the position of the last event.
    fn last_position(&self) -> StoreFuture<'_, Position>;

    /// Waits until the last event is another than the one at `after`. It may return early, and takes at most half a second longer than
    /// the event.
    fn wait_for_events(&self, after: Position) -> StoreFuture<'_, ()>;

    /// Reports whether rows are still there after the process has ended.
    fn is_durable(&self) -> bool;

    /// Closes the store when the process ends: a database in a file is then whole in that one file. Every later call fails. Default:
    /// nothing happens.
    fn close(&self) -> StoreFuture<'_, ()> {
        Box::pin(ready(Ok(())))
    }
}

/// The state in which a row must be, so that it is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_enums, reason = "a store handles every state")]
pub enum Expected {
    /// There is no row, or it has expired.
    Absent,
    /// The row is in this version and has not expired. The end of such a row may be under way already, so it must not be prolonged.
    Unexpired(Version),
    /// The row is in this version, and may have expired: for a value that must not be lost, such as a refresh token that was rotated
    /// while the row expired.
    EvenExpired(Version),
}

/// The version of a row: a number that grows with every write of the row, and has no other meaning.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Version(u64);

impl Version {
    /// Creates the version with this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Returns the number of the version.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// A row as it is written.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Row {
    /// The sealed value.
    pub sealed: Bytes,
    /// When the row expires; [`UnixTime::MAX`]: never.
    pub expires_at: UnixTime,
}

impl Row {
    /// Creates a row of `sealed` bytes that expires at `expires_at`.
    #[must_use]
    pub const fn new(sealed: Bytes, expires_at: UnixTime) -> Self {
        Self { sealed, expires_at }
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Row").field("len", &self.sealed.len()).field("expires_at", &self.expires_at).finish()
    }
}

/// A row as it is read.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct StoredRow {
    /// The version of the row.
    pub version: Version,
    /// The row.
    pub row: Row,
}

impl StoredRow {
    /// Creates `row` in this version.
    #[must_use]
    pub const fn new(version: Version, row: Row) -> Self {
        Self { version, row }
    }
}

/// The outcome of a [`compare_and_swap`](Store::compare_and_swap).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_enums, reason = "callers decide on every outcome")]
pub enum Swap {
    /// Written, and durable.
    Written(Version),
    /// Not written: the row is not as expected.
    Conflict,
    /// Not written: the lease was released, or another process has acquired it since.
    Fenced,
}

/// The exclusive, time-limited right to change a row, across processes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Lease {
    /// A number that is higher than that of every lease of this key before.
    pub fence: u64,
    /// Whether the lease before was never released: its holder may have died with its work half done.
    pub after_abandoned: bool,
}

impl Lease {
    /// Creates a lease with this fence.
    #[must_use]
    pub const fn new(fence: u64, after_abandoned: bool) -> Self {
        Self { fence, after_abandoned }
    }
}

/// The outcome of a [`lease`](Store::lease).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_enums, reason = "callers decide on every outcome")]
pub enum LeaseOutcome {
    /// The caller has the lease.
    Acquired(Lease),
    /// Another caller has the lease.
    Held,
}

/// A store that cannot be read or written: what was attempted, and why it failed. It contains no token, and may be logged.
#[derive(Debug, thiserror::Error)]
#[error("the store failed: {context}{cause}", cause = source.as_ref().map(|source| format!(": {source}")).unwrap_or_default())]
pub struct StoreError {
    context: &'static str,
    kind: StoreErrorKind,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// The category of a [`StoreError`]: what an operator has to do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The store does not answer, or fails in another way.
    Unavailable,
    /// There is no room for what is written: the disk is full.
    Full,
    /// The store can be read and not written.
    ReadOnly,
    /// The database was replaced or deleted while it was in use. The process has to be restarted.
    Replaced,
    /// No key of the ring opens what is stored.
    WrongKeys,
}

impl StoreErrorKind {
    /// Returns the name of the category, as a log field.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Full => "full",
            Self::ReadOnly => "read_only",
            Self::Replaced => "replaced",
            Self::WrongKeys => "wrong_keys",
        }
    }
}

impl StoreError {
    /// Creates an error that says what was attempted.
    #[must_use]
    pub const fn new(context: &'static str) -> Self {
        Self { context, kind: StoreErrorKind::Unavailable, source: None }
    }

    /// Sets the category. Default: [`Unavailable`](StoreErrorKind::Unavailable).
    #[must_use]
    pub const fn with_kind(mut self, kind: StoreErrorKind) -> Self {
        self.kind = kind;
        self
    }

    /// Returns the category.
    #[must_use]
    pub const fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// Adds the cause. It must not contain a secret: it is logged.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

/// The answer to a request that needs the store: 503.
impl From<StoreError> for AuthError {
    fn from(error: StoreError) -> Self {
        Self::new(Reason::StoreUnavailable).with_source(error)
    }
}
