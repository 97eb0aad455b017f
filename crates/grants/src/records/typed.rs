//! [`SealedStore`]: a store and the keys for it.

use std::sync::Arc;

use portcullis_core::UnixTime;
use serde::{Serialize, de::DeserializeOwned};

use super::{Collection, RecordKey, RecordStore, SealedRecord, StoredRecord, rekey};
use crate::{
    EphemeralKeyError, KeyRing, RekeyReport, SealError, StoreError, Version,
    engine::in_time,
    sealing::{Place, plaintext},
};

/// A store and the keys for it: values go in and come out, as JSON that is sealed on the way. Clones are the same records.
///
/// The store has 10 s for each answer. What fails is a [`StoreError`], 503: also a record that does not open or is not what was
/// expected, for that is our mistake, and no reason to send anybody to log in again. Plaintexts are wiped here; what the values
/// themselves keep is theirs to wipe.
#[derive(Clone, Debug)]
pub struct SealedStore {
    pub(super) store: Arc<dyn RecordStore>,
    pub(super) keys: KeyRing,
}

/// A value, and the row it was read from.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Record<T> {
    /// In which version it was read.
    pub version: Version,
    /// What is in it.
    pub value: T,
    /// From when on it is not there any more.
    pub expires_at: UnixTime,
}

/// Why a value cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error(transparent)]
    Sealed(#[from] SealError),
    /// What serde says of it may quote what it has read.
    #[error("not what was expected here: of another version of this program")]
    Unknown,
}

impl SealedStore {
    /// Records in `store`, sealed with `keys`, which are **not** tried: [`open`](Self::open) does that.
    ///
    /// # Errors
    /// [`EphemeralKeyError`] if the store is durable and the key is not: after a restart nothing could be read.
    pub fn new(store: Arc<dyn RecordStore>, keys: KeyRing) -> Result<Self, EphemeralKeyError> {
        if store.is_durable() && keys.is_ephemeral() { Err(EphemeralKeyError) } else { Ok(Self { store, keys }) }
    }

    /// The value at `key`; `None` if there is none, or if it has expired.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn load<T: DeserializeOwned>(&self, key: RecordKey) -> Result<Option<Record<T>>, StoreError> {
        let stored = in_time(self.store.load(key)).await?;
        Ok(stored.map(|stored| self.unseal(key, &stored)).transpose()?)
    }

    /// Puts a value where there is none. `None`: there is one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn create<T: Serialize>(
        &self,
        key: RecordKey,
        value: &T,
        expires_at: UnixTime,
    ) -> Result<Option<Version>, StoreError> {
        self.write(key, None, value, expires_at).await
    }

    /// Replaces the value that was read in version `expected`. `None`: somebody else was faster, or it has expired meanwhile.
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
        self.write(key, Some(expected), value, expires_at).await
    }

    /// Removes the value that was read in version `expected`, also one that has expired. Whether it did: of any number at once,
    /// one is told so.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn remove(&self, key: RecordKey, expected: Version) -> Result<bool, StoreError> {
        in_time(self.store.compare_and_remove(key, expected)).await
    }

    /// Takes the value at `key` out. Of any number at once, one gets it; it gets it only if the removal is durable.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn take<T: DeserializeOwned>(&self, key: RecordKey) -> Result<Option<T>, StoreError> {
        let Some(opened) = self.load(key).await? else { return Ok(None) };
        let is_ours = self.remove(key, opened.version).await?;
        Ok(is_ours.then_some(opened.value))
    }

    /// Removes what has expired. How many. Not for a table where the end of a value needs [work](Self::expired): it would be left
    /// undone.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn sweep(&self, table: Collection) -> Result<u64, StoreError> {
        in_time(self.store.sweep(table)).await
    }

    /// How many values there are, about: those that have expired and were not swept may be among them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn count(&self, table: Collection) -> Result<u64, StoreError> {
        in_time(self.store.count(table)).await
    }

    /// The values after `after`, in the order of their keys, at most `limit`; `None` for one that does not open, of which the log tells.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn page<T: DeserializeOwned>(
        &self,
        table: Collection,
        after: Option<RecordKey>,
        limit: usize,
    ) -> Result<Vec<(RecordKey, Option<Record<T>>)>, StoreError> {
        let rows = in_time(self.store.page(table, after, limit)).await?;
        let opened = |(key, stored): &(RecordKey, StoredRecord)| {
            let opened = self.unseal(*key, stored);
            let told =
                opened.inspect_err(|error| tracing::warn!(record = ?key, %error, "a stored record does not open"));
            (*key, told.ok())
        };
        Ok(rows.iter().map(opened).collect())
    }

    /// Seals with the first key of the ring whatever is sealed with another one, as [`GrantStore::rekey`](crate::GrantStore::rekey) does.
    ///
    /// It does **not** look at what has expired: whoever does the [work](Self::expired) that is left needs the old key until then.
    /// [Texts](Self::seal_text) are beyond its reach.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn rekey(&self) -> Result<RekeyReport, StoreError> {
        rekey::rekey(self).await
    }

    async fn write<T: Serialize>(
        &self,
        key: RecordKey,
        expected: Option<Version>,
        value: &T,
        expires_at: UnixTime,
    ) -> Result<Option<Version>, StoreError> {
        let plain = plaintext(value).map_err(|error| StoreError::new("writing a record as JSON").with_source(error))?;
        let sealed = SealedRecord::new(self.keys.seal(Place::Record(key), &plain), expires_at);
        in_time(self.store.compare_and_swap(key, expected, sealed)).await
    }

    pub(super) fn unseal<T: DeserializeOwned>(
        &self,
        key: RecordKey,
        stored: &StoredRecord,
    ) -> Result<Record<T>, Unreadable> {
        let plain = self.keys.open(Place::Record(key), &stored.record.sealed)?;
        let value = serde_json::from_slice(&plain).map_err(|_| Unreadable::Unknown)?;
        Ok(Record { version: stored.version, value, expires_at: stored.record.expires_at })
    }
}

impl From<Unreadable> for StoreError {
    fn from(error: Unreadable) -> Self {
        Self::new("opening a sealed record").with_source(error)
    }
}
