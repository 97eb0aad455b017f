//! [`Records::soonest`]: what would be forgotten next, for making room.

use portcullis_core::UnixTime;

use super::{RecordKey, Records, Table};
use crate::{StoreError, Version, engine::in_time};

impl Records {
    /// The values that have not expired, at most `limit`, those that will be first first: which they are, in which version to
    /// [remove](Self::remove) them, and when they expire. They are not opened.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn soonest(&self, table: Table, limit: usize) -> Result<Vec<(RecordKey, Version, UnixTime)>, StoreError> {
        let rows = in_time(self.store.soonest(table, limit)).await?;
        Ok(rows.into_iter().map(|(key, stored)| (key, stored.version, stored.record.expires_at)).collect())
    }
}
