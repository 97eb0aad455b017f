//! [`rekey`]: every record is sealed with the first key.

use super::{Collection, RecordKey, SealedRecord, SealedStore, StoredRecord};
use crate::{RekeyReport, StoreError, engine::in_time, sealing::Place};

/// Rows read at once.
const PAGE: usize = 256;

/// Seals with the first key whatever is not.
pub(super) async fn rekey(records: &SealedStore) -> Result<RekeyReport, StoreError> {
    let mut rekeyed = RekeyReport::default();
    for table in Collection::ALL {
        let mut after = None;
        loop {
            let page = in_time(records.store.page(table, after, PAGE)).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            for (key, stored) in page {
                reseal(records, key, stored, &mut rekeyed).await?;
            }
        }
    }
    Ok(rekeyed)
}

/// Somebody may write the row meanwhile: then what they wrote is looked at, and nothing of it is lost.
async fn reseal(
    records: &SealedStore,
    key: RecordKey,
    mut stored: StoredRecord,
    rekeyed: &mut RekeyReport,
) -> Result<(), StoreError> {
    let SealedStore { store, keys } = records;
    loop {
        let StoredRecord { version, record } = stored;
        if keys.is_current(&record.sealed) {
            rekeyed.current += 1;
            return Ok(());
        }
        let plain = match keys.open(Place::Record(key), &record.sealed) {
            Ok(plain) => plain,
            Err(error) => {
                tracing::warn!(record = ?key, %error, "a stored record does not open");
                rekeyed.unreadable += 1;
                return Ok(());
            }
        };
        let sealed = SealedRecord::new(keys.seal(Place::Record(key), &plain), record.expires_at);
        if in_time(store.compare_and_swap(key, Some(version), sealed)).await?.is_some() {
            rekeyed.resealed += 1;
            return Ok(());
        }
        match in_time(store.load(key)).await? {
            Some(now) => stored = now,
            None => return Ok(()),
        }
    }
}
