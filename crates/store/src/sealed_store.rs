//! [`SealedStore`]: a store and the keys for it.

use std::{io, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_core::UnixTime;
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::{
    Collection, Expected, KeyRing, Lease, LeaseOutcome, RecordKey, Row, SealError, Store, StoreError, StoredRow, Swap,
    Version, key_ring::SealContext,
};

/// A store and the keys for it: values are written as sealed JSON, and opened when they are read. Clones share the store.
///
/// The store has 10 s for each answer. Every failure is a [`StoreError`], 503: also a row that does not open or is not of the expected
/// form, for that is a fault of this server and no reason to make users log in again. Plaintexts are wiped here; what the values
/// themselves hold is theirs to wipe.
#[derive(Clone, Debug)]
pub struct SealedStore {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) keys: KeyRing,
}

/// The keys would be gone before the rows that they seal.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("this store outlives the process, but its encryption key would not: configure a key")]
#[non_exhaustive]
pub struct EphemeralKeyError;

/// A value, and the row it was read from.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Record<T> {
    /// The version in which the value was read.
    pub version: Version,
    /// The value.
    pub value: T,
    /// When the value expires.
    pub expires_at: UnixTime,
}

/// Why a value cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error(transparent)]
    Sealed(#[from] SealError),
    /// The message of serde is dropped: it may quote what was read.
    #[error("not what was expected here: of another version of this program")]
    Unknown,
}

/// How long a store may take for one operation. A store may have shorter limits of its own.
const STORE_TIMEOUT: Duration = Duration::from_secs(10);

/// How many rows are read, at most, to find some that open behind those that do not.
pub(crate) const MAX_EXPIRED_ROWS: usize = 10_000;

impl SealedStore {
    /// Creates a store of values in `store`, sealed with `keys`, which are **not** checked: [`open`](Self::open) does that.
    ///
    /// # Errors
    /// [`EphemeralKeyError`] if the store is durable and the key is not: after a restart nothing could be read.
    pub fn new(store: Arc<dyn Store>, keys: KeyRing) -> Result<Self, EphemeralKeyError> {
        if store.is_durable() && keys.is_ephemeral() { Err(EphemeralKeyError) } else { Ok(Self { store, keys }) }
    }

    /// Reports whether values are still there after the process has ended.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.store.is_durable()
    }

    /// Closes the store: see [`Store::close`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn close(&self) -> Result<(), StoreError> {
        in_time(self.store.close()).await
    }

    /// Loads the value at `key`; `None` if there is none, or if it has expired.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn load<T: DeserializeOwned>(&self, key: RecordKey) -> Result<Option<Record<T>>, StoreError> {
        let stored = self.load_row(key).await?;
        Ok(stored.map(|stored| self.unseal(key, &stored)).transpose()?)
    }

    /// Creates a value. Returns `None` if there is one at `key`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn create<T: Serialize>(
        &self,
        key: RecordKey,
        value: &T,
        expires_at: UnixTime,
    ) -> Result<Option<Version>, StoreError> {
        self.write(key, Expected::Absent, value, expires_at).await
    }

    /// Replaces the value that was read in version `expected`. Returns `None` if another caller has changed the value, or if it has
    /// expired meanwhile.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn replace<T: Serialize>(
        &self,
        key: RecordKey,
        expected: Version,
        value: &T,
        expires_at: UnixTime,
    ) -> Result<Option<Version>, StoreError> {
        self.write(key, Expected::Unexpired(expected), value, expires_at).await
    }

    /// Removes the value that was read in version `expected`, also one that has expired. Reports whether it was removed: to one of several
    /// concurrent callers.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn remove(&self, key: RecordKey, expected: Version) -> Result<bool, StoreError> {
        in_time(self.store.compare_and_remove(key, expected)).await
    }

    /// Removes the value at `key` and returns it. One of several concurrent callers gets the value, and only if the removal is durable.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn take<T: DeserializeOwned>(&self, key: RecordKey) -> Result<Option<T>, StoreError> {
        let Some(record) = self.load(key).await? else { return Ok(None) };
        let is_removed = self.remove(key, record.version).await?;
        Ok(is_removed.then_some(record.value))
    }

    /// Returns the values that have expired by the `confirmed` time, at most `limit`, the oldest first: for values whose end needs work.
    /// They stay until they are [removed](Self::remove). The time is that of a [`ConfirmedClock`](crate::ConfirmedClock), because such
    /// work cannot be undone.
    ///
    /// A row that does not open does not block those behind it, which are looked for among 10,000 rows. If the row was damaged, it is
    /// removed, since no process can read it. If its key is not on the ring, or if it is of a later version of this program, it is
    /// left to a process that can read it. Either way a line in the log says so.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn expired<T: DeserializeOwned>(
        &self,
        collection: Collection,
        confirmed: UnixTime,
        limit: usize,
    ) -> Result<Vec<(RecordKey, Record<T>)>, StoreError> {
        let mut wanted = limit;
        loop {
            let rows = self.expired_rows(collection, confirmed, wanted).await?;
            let is_all = rows.len() < wanted || wanted >= MAX_EXPIRED_ROWS;
            let (records, left) = self.open_expired(rows).await?;
            if is_all || records.len() >= limit {
                if left > 0 {
                    tracing::warn!(
                        table = collection.as_str(),
                        records = left,
                        "records that have expired do not open"
                    );
                }
                return Ok(records.into_iter().take(limit).collect());
            }
            wanted *= 2;
        }
    }

    /// Opens rows that have expired. Returns the values, and the number of rows that are left to another process.
    async fn open_expired<T: DeserializeOwned>(
        &self,
        rows: Vec<(RecordKey, StoredRow)>,
    ) -> Result<(Vec<(RecordKey, Record<T>)>, usize), StoreError> {
        let (mut records, mut left) = (Vec::new(), 0);
        for (key, stored) in rows {
            match self.unseal(key, &stored) {
                Ok(record) => records.push((key, record)),
                Err(Unreadable::Sealed(SealError::Damaged)) => {
                    tracing::error!(record = ?key, "a record that has expired was damaged: its end is not looked after");
                    self.remove(key, stored.version).await?;
                }
                Err(_) => left += 1,
            }
        }
        Ok((records, left))
    }

    /// Returns the keys, versions and expiries of the values that have not expired, at most `limit`, the first to expire first: for making
    /// room. The values are not opened.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn next_to_expire(
        &self,
        collection: Collection,
        limit: usize,
    ) -> Result<Vec<(RecordKey, Version, UnixTime)>, StoreError> {
        let rows = in_time(self.store.next_to_expire(collection, limit)).await?;
        Ok(rows.into_iter().map(|(key, stored)| (key, stored.version, stored.row.expires_at)).collect())
    }

    /// Removes the values that have expired by the `confirmed` time, and returns their number. The time is that of a
    /// [`ConfirmedClock`](crate::ConfirmedClock). Not for a collection where the end of a value needs [work](Self::expired): it would be
    /// left undone.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn sweep(&self, collection: Collection, confirmed: UnixTime) -> Result<u64, StoreError> {
        in_time(self.store.sweep(collection, confirmed)).await
    }

    /// Counts the values, approximately: those that have expired and were not swept may be among them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn count(&self, collection: Collection) -> Result<u64, StoreError> {
        in_time(self.store.count(collection)).await
    }

    /// Returns the values after `after`, in the order of their keys, at most `limit`; `None` in place of a value that does not open, which
    /// is logged.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn page<T: DeserializeOwned>(
        &self,
        collection: Collection,
        after: Option<RecordKey>,
        limit: usize,
    ) -> Result<Vec<(RecordKey, Option<Record<T>>)>, StoreError> {
        let rows = self.rows_after(collection, after, limit).await?;
        let open = |(key, stored): &(RecordKey, StoredRow)| {
            let record = self.unseal(*key, stored);
            let logged =
                record.inspect_err(|error| tracing::warn!(record = ?key, %error, "a stored record does not open"));
            (*key, logged.ok())
        };
        Ok(rows.iter().map(open).collect())
    }

    /// Loads the bytes at `key` and their version, also if they have expired: see [`Store::load_even_expired`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn load_bytes_even_expired(
        &self,
        key: RecordKey,
    ) -> Result<Option<(Version, Zeroizing<Vec<u8>>)>, StoreError> {
        let Some(stored) = in_time(self.store.load_even_expired(key)).await? else { return Ok(None) };
        let plain = self.keys.open(SealContext::Row(key), &stored.row.sealed).map_err(Unreadable::from)?;
        Ok(Some((stored.version, plain)))
    }

    /// Writes `plain` at `key` if the row is as `expected`, under `lease`, which is released: see [`Store::compare_and_swap`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn swap_bytes(
        &self,
        key: RecordKey,
        expected: Expected,
        plain: &[u8],
        expires_at: UnixTime,
        lease: Option<Lease>,
    ) -> Result<Swap, StoreError> {
        let row = Row::new(self.keys.seal(SealContext::Row(key), plain), expires_at);
        self.write_row(key, expected, row, lease).await
    }

    /// Acquires the lease of `key` for `ttl`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn lease(&self, key: RecordKey, ttl: Duration) -> Result<LeaseOutcome, StoreError> {
        in_time(self.store.lease(key, ttl)).await
    }

    /// Extends a lease to `ttl` from now. Returns `false` if the lease was released, or if another process has acquired it since.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn renew(&self, key: RecordKey, lease: Lease, ttl: Duration) -> Result<bool, StoreError> {
        in_time(self.store.renew(key, lease, ttl)).await
    }

    /// Releases a lease.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn release(&self, key: RecordKey, lease: Lease) -> Result<(), StoreError> {
        in_time(self.store.release(key, lease)).await
    }

    /// Seals `plain` for `purpose`, as base64url: for a text that a client keeps and returns, such as the hidden field of a form. The client
    /// can neither read nor change it. Nothing prevents the client from returning it twice, or late.
    #[must_use]
    pub fn seal_text(&self, purpose: &'static str, plain: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode(self.keys.seal(SealContext::Text(purpose), plain))
    }

    /// Opens a text that was sealed for `purpose`. Returns `None` if it was not, or was sealed with a key that is not on the ring.
    #[must_use]
    pub fn open_text(&self, purpose: &'static str, text: &str) -> Option<Zeroizing<Vec<u8>>> {
        let sealed = URL_SAFE_NO_PAD.decode(text).ok()?;
        self.keys.open(SealContext::Text(purpose), &sealed).ok()
    }

    pub(crate) async fn load_row(&self, key: RecordKey) -> Result<Option<StoredRow>, StoreError> {
        in_time(self.store.load(key)).await
    }

    pub(crate) async fn rows_after(
        &self,
        collection: Collection,
        after: Option<RecordKey>,
        limit: usize,
    ) -> Result<Vec<(RecordKey, StoredRow)>, StoreError> {
        in_time(self.store.page(collection, after, limit)).await
    }

    pub(crate) async fn expired_rows(
        &self,
        collection: Collection,
        confirmed: UnixTime,
        limit: usize,
    ) -> Result<Vec<(RecordKey, StoredRow)>, StoreError> {
        in_time(self.store.expired(collection, confirmed, limit)).await
    }

    pub(crate) async fn write_row(
        &self,
        key: RecordKey,
        expected: Expected,
        row: Row,
        lease: Option<Lease>,
    ) -> Result<Swap, StoreError> {
        in_time(self.store.compare_and_swap(key, expected, row, lease)).await
    }

    async fn write<T: Serialize>(
        &self,
        key: RecordKey,
        expected: Expected,
        value: &T,
        expires_at: UnixTime,
    ) -> Result<Option<Version>, StoreError> {
        let plain = plaintext(value).map_err(not_json)?;
        match self.swap_bytes(key, expected, &plain, expires_at, None).await? {
            Swap::Written(version) => Ok(Some(version)),
            Swap::Conflict | Swap::Fenced => Ok(None),
        }
    }

    fn unseal<T: DeserializeOwned>(&self, key: RecordKey, stored: &StoredRow) -> Result<Record<T>, Unreadable> {
        let plain = self.keys.open(SealContext::Row(key), &stored.row.sealed)?;
        let value = serde_json::from_slice(&plain).map_err(|_| Unreadable::Unknown)?;
        Ok(Record { version: stored.version, value, expires_at: stored.row.expires_at })
    }
}

impl From<Unreadable> for StoreError {
    fn from(error: Unreadable) -> Self {
        Self::new("opening a sealed record").with_source(error)
    }
}

pub(crate) fn not_json(error: serde_json::Error) -> StoreError {
    StoreError::new("writing a record as JSON").with_source(error)
}

/// Waits for the answer of a store, for a limited time.
pub(crate) async fn in_time<T>(answer: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let too_late = |_| Err(StoreError::new("waiting for an answer"));
    timeout(STORE_TIMEOUT, answer).await.unwrap_or_else(too_late)
}

/// Counts what is written.
struct Len(usize);

impl io::Write for Len {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Serializes `value` as JSON into a buffer that is wiped when it is dropped.
///
/// # Errors
/// If the value is not JSON, as a map whose keys are not text.
pub fn plaintext<T: Serialize>(value: &T) -> serde_json::Result<Zeroizing<Vec<u8>>> {
    // Sufficient capacity from the start: the buffers that a growing vector leaves behind are not wiped.
    let mut len = Len(0);
    serde_json::to_writer(&mut len, value)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(len.0));
    serde_json::to_writer(&mut *bytes, value)?;
    Ok(bytes)
}
