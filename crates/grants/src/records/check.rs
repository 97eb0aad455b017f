//! [`SealedStore::check_keys`]: a key ring is tried at the start.

use std::sync::Arc;

use super::{Collection, RecordStore, SealedStore};
use crate::{
    KeyRing, OpenError,
    engine::in_time,
    sealing::{KeyCheck, Place},
};

/// Rows read at once.
const PAGE: usize = 256;

impl SealedStore {
    /// Records in `store`, sealed with `keys`, which have been [tried](Self::check_keys).
    ///
    /// # Errors
    /// [`OpenError`]: above all, if no key of the ring opens what is there.
    pub async fn open(store: Arc<dyn RecordStore>, keys: KeyRing) -> Result<Self, OpenError> {
        let records = Self::new(store, keys)?;
        records.check_keys().await?;
        Ok(records)
    }

    /// Tries the keys at the records that have not expired, until one opens. An empty store has nothing that could be lost; a grant is kept
    /// for longer, and a [`GrantStore`](crate::GrantStore) has a row for that alone.
    ///
    /// # Errors
    /// [`OpenError::WrongKeys`] if there are records and none opens; [`OpenError::Store`] if the store cannot be read.
    pub async fn check_keys(&self) -> Result<(), OpenError> {
        let mut check = KeyCheck::new(&self.keys);
        for table in Collection::ALL {
            let mut after = None;
            loop {
                let page = in_time(self.store.page(table, after, PAGE)).await?;
                let Some((last, _)) = page.last() else { break };
                after = Some(*last);
                for (key, stored) in &page {
                    let sealed = &stored.record.sealed;
                    if check.is_passed_by(sealed, &self.keys.open(Place::Record(*key), sealed)) {
                        return Ok(());
                    }
                }
            }
        }
        Ok(check.finish()?)
    }
}
