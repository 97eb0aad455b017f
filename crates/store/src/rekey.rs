//! [`SealedStore::rekey`]: every row is sealed with the first key of the ring; and [`SealedStore::forget_unreadable`]: rows that no key
//! of the ring opens are removed.

use portcullis_core::UnixTime;

use crate::{
    Collection, Expected, OpenError, RecordKey, Row, SealedStore, StoreError, StoredRow, Swap, key_ring::SealContext,
    sealed_store::MAX_EXPIRED_ROWS,
};

/// The result of a [`SealedStore::rekey`], in rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct RekeyReport {
    /// Sealed anew with the first key.
    pub resealed: u64,
    /// Sealed with the first key before.
    pub current: u64,
    /// Rows that do not open: another key would be needed, or they were damaged. They stay as they are.
    pub unreadable: u64,
}

/// Rows read in one step.
const PAGE: usize = 256;

impl SealedStore {
    /// Seals with the first key of the ring every row of `collections` that is sealed with another key. Once no row is
    /// [unreadable](RekeyReport::unreadable) and every process has the new ring, the keys behind the first can be removed.
    ///
    /// The rows are read and written meanwhile. It may be stopped at any time and begun anew. To rotate a key: add the new key to the
    /// ring of every process behind the old one, then put it first, then rekey.
    ///
    /// It does **not** look at rows that have expired: the process that does the [work](Self::expired) that is left needs the old key
    /// until then. [Texts](Self::seal_text) and events are out of its reach.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn rekey(&self, collections: &[Collection]) -> Result<RekeyReport, StoreError> {
        let mut report = RekeyReport::default();
        for collection in [Self::canary_collection()].iter().chain(collections) {
            let mut after = None;
            loop {
                let page = self.rows_after(*collection, after, PAGE).await?;
                let Some((last, _)) = page.last() else { break };
                after = Some(*last);
                for (key, stored) in page {
                    self.reseal(key, stored, &mut report).await?;
                }
            }
        }
        Ok(report)
    }

    /// Removes the rows of `collections` that do not open, and returns their number: they were sealed with a key that is lost, or were
    /// damaged. It cannot be undone. `now` is the present time: rows that have expired are removed as well.
    ///
    /// The keys are [checked](Self::check_keys) before, so that a store is not emptied because of a key ring of which no key is right.
    ///
    /// # Errors
    /// [`OpenError`]: above all, if no key of the ring opens what is stored.
    pub async fn forget_unreadable(&self, collections: &[Collection], now: UnixTime) -> Result<u64, OpenError> {
        self.check_keys(collections).await?;
        let mut forgotten = 0;
        for collection in collections {
            let mut after = None;
            loop {
                let page = self.rows_after(*collection, after, PAGE).await?;
                let Some((last, _)) = page.last() else { break };
                after = Some(*last);
                forgotten += self.remove_unreadable(page).await?;
            }
            loop {
                let expired = self.expired_rows(*collection, now, MAX_EXPIRED_ROWS).await?;
                let removed = self.remove_unreadable(expired).await?;
                forgotten += removed;
                if removed == 0 {
                    break;
                }
            }
        }
        Ok(forgotten)
    }

    async fn remove_unreadable(&self, rows: Vec<(RecordKey, StoredRow)>) -> Result<u64, StoreError> {
        let mut removed = 0;
        for (key, stored) in rows {
            if self.keys.open(SealContext::Row(key), &stored.row.sealed).is_err() {
                removed += u64::from(self.remove(key, stored.version).await?);
            }
        }
        Ok(removed)
    }

    /// Seals a row anew. If another process writes the row meanwhile, what it has written is looked at, and nothing of it is lost. It takes
    /// no lease: that would hold up refreshes.
    async fn reseal(&self, key: RecordKey, mut stored: StoredRow, report: &mut RekeyReport) -> Result<(), StoreError> {
        loop {
            let StoredRow { version, row } = stored;
            if self.keys.is_current(&row.sealed) {
                report.current += 1;
                return Ok(());
            }
            let plain = match self.keys.open(SealContext::Row(key), &row.sealed) {
                Ok(plain) => plain,
                Err(error) => {
                    tracing::warn!(record = ?key, %error, "a stored record does not open");
                    report.unreadable += 1;
                    return Ok(());
                }
            };
            let row = Row::new(self.keys.seal(SealContext::Row(key), &plain), row.expires_at);
            if let Swap::Written(_) = self.write_row(key, Expected::Unexpired(version), row, None).await? {
                report.resealed += 1;
                return Ok(());
            }
            match self.load_row(key).await? {
                Some(now) => stored = now,
                None => return Ok(()),
            }
        }
    }
}
