//! [`SealedStore::due`]: values whose end needs work.

use serde::de::DeserializeOwned;

use super::{Collection, Record, RecordKey, SealedStore, StoredRecord, typed::Unreadable};
use crate::{SealError, StoreError, engine::in_time};

/// So many rows are read, at most, to find some that open behind those that do not.
const MOST_READ: usize = 10_000;

impl SealedStore {
    /// The values that have expired, at most `limit`, the oldest first: for those whose end needs work. They are there until they
    /// are [removed](Self::remove).
    ///
    /// What does not open holds up nobody: those behind it are looked for, among 10,000 rows. If it was damaged, it is removed, for
    /// nobody will ever read it. If its key is not on the ring, or if it is of a later version of this program, it is left to a
    /// process that can read it; without one, it stays. Either way a line in the log says so.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn expired<T: DeserializeOwned>(
        &self,
        table: Collection,
        limit: usize,
    ) -> Result<Vec<(RecordKey, Record<T>)>, StoreError> {
        let mut wanted = limit;
        loop {
            let rows = in_time(self.store.expired(table, wanted)).await?;
            let is_all = rows.len() < wanted || wanted >= MOST_READ;
            let (opened, left) = self.open_all(rows).await?;
            if is_all || opened.len() >= limit {
                if left > 0 {
                    tracing::warn!(table = table.as_str(), records = left, "records that have expired do not open");
                }
                return Ok(opened.into_iter().take(limit).collect());
            }
            wanted *= 2;
        }
    }

    /// Those that open, and how many others are left.
    async fn open_all<T: DeserializeOwned>(
        &self,
        rows: Vec<(RecordKey, StoredRecord)>,
    ) -> Result<(Vec<(RecordKey, Record<T>)>, usize), StoreError> {
        let (mut opened, mut left) = (Vec::new(), 0);
        for (key, stored) in rows {
            match self.unseal(key, &stored) {
                Ok(value) => opened.push((key, value)),
                Err(Unreadable::Sealed(SealError::Damaged)) => {
                    tracing::error!(record = ?key, "a record that has expired was damaged: its end is not looked after");
                    self.remove(key, stored.version).await?;
                }
                Err(_) => left += 1,
            }
        }
        Ok((opened, left))
    }
}
