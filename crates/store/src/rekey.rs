//! [`SealedStore::rekey`]: every row is sealed with the first key of the ring.

use crate::{Collection, Expected, RecordKey, Row, SealedStore, StoreError, StoredRow, Swap, key_ring::SealContext};

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
