//! [`RecordStore`]: where records are kept, sealed.

use std::fmt;

use bytes::Bytes;
use portcullis_core::UnixTime;

use super::{Collection, RecordKey};
use crate::{StoreFuture, Version};

/// Where records are kept. It sees sealed bytes only, and decides who was first.
///
/// The contract, which `conformance::records` (behind the feature `conformance`) checks for any store:
///
/// 1. Every change of a row is atomic: of any number at once that expect the same version, or none, one succeeds. What it says is
///    written is durable, and a removal as well.
/// 2. The version of a row grows with every write and never comes back, not even after the row was removed.
/// 3. A row that has expired is not there any more: it is neither read nor replaced, and another one may be created in its place.
///    But it stays until it is removed or swept: for [`due`](Self::expired).
/// 4. Nothing is removed unless it is still what was seen, or has expired.
pub trait RecordStore: fmt::Debug + Send + Sync + 'static {
    /// The row of `key`. One that has expired is not there.
    fn load(&self, key: RecordKey) -> StoreFuture<'_, Option<StoredRecord>>;

    /// Writes the row of `key` if it is still in version `expected` and has not expired; `None`: if there is none, or one that has
    /// expired. The new version, or `None` for a conflict, which leaves everything as it is.
    fn compare_and_swap(
        &self,
        key: RecordKey,
        expected: Option<Version>,
        new: SealedRecord,
    ) -> StoreFuture<'_, Option<Version>>;

    /// Removes the row of `key` if it is still in version `expected`, whether it has expired or not. Exactly one caller is told
    /// that it did.
    fn compare_and_remove(&self, key: RecordKey, expected: Version) -> StoreFuture<'_, bool>;

    /// The rows that have expired, at most `limit`, the oldest first: for those whose end needs work. They are there until they are
    /// removed.
    fn expired(&self, table: Collection, limit: usize) -> StoreFuture<'_, Vec<(RecordKey, StoredRecord)>>;

    /// Removes the rows that have expired. How many.
    fn sweep(&self, table: Collection) -> StoreFuture<'_, u64>;

    /// How many rows there are. Those that have expired and were not swept may be among them.
    fn count(&self, table: Collection) -> StoreFuture<'_, u64>;

    /// The rows that have not expired, at most `limit`, those that will be first first: for making room.
    fn next_to_expire(&self, table: Collection, limit: usize) -> StoreFuture<'_, Vec<(RecordKey, StoredRecord)>>;

    /// The rows after `after` that have not expired, in the order of their keys, at most `limit`. `after` is a key of the same
    /// table.
    fn page(
        &self,
        table: Collection,
        after: Option<RecordKey>,
        limit: usize,
    ) -> StoreFuture<'_, Vec<(RecordKey, StoredRecord)>>;

    /// Whether rows are still there after the process has ended.
    fn is_durable(&self) -> bool;
}

/// A row as it is written.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SealedRecord {
    /// The sealed value.
    pub sealed: Bytes,
    /// From when on the row is not there any more.
    pub expires_at: UnixTime,
}

impl SealedRecord {
    /// A row of `sealed` bytes until `expires_at`.
    #[must_use]
    pub const fn new(sealed: Bytes, expires_at: UnixTime) -> Self {
        Self { sealed, expires_at }
    }
}

impl fmt::Debug for SealedRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedRecord").field("len", &self.sealed.len()).field("expires_at", &self.expires_at).finish()
    }
}

/// A row as it is read.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct StoredRecord {
    /// Which state of it this is.
    pub version: Version,
    /// What is in it.
    pub record: SealedRecord,
}

impl StoredRecord {
    /// `record` in this version.
    #[must_use]
    pub const fn new(version: Version, record: SealedRecord) -> Self {
        Self { version, record }
    }
}
