//! [`SealedStore::soonest`]: what would be forgotten next, for making room.

use portcullis_core::UnixTime;

use super::{Collection, RecordKey, SealedStore};
use crate::{StoreError, Version, engine::in_time};

impl SealedStore {
    /// The values that have not expired, at most `limit`, those that will be first first: which they are, in which version to
    /// [remove](Self::remove) them, and when they expire. They are not opened.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn next_to_expire(
        &self,
        table: Collection,
        limit: usize,
    ) -> Result<Vec<(RecordKey, Version, UnixTime)>, StoreError> {
        let rows = in_time(self.store.next_to_expire(table, limit)).await?;
        Ok(rows.into_iter().map(|(key, stored)| (key, stored.version, stored.record.expires_at)).collect())
    }
}
