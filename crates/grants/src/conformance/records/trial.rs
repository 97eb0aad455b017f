//! What the rules for records have in common.

use bytes::Bytes;
use portcullis_core::UnixTime;

use super::super::trial::{Finding, Trial};
use crate::{
    Version,
    records::{Collection, RecordKey, RecordStore, SealedRecord, StoredRecord},
};

/// A store of records on which one rule is tried.
pub(super) type SealedStore<'a> = Trial<'a, dyn RecordStore>;

/// No trial takes so long.
pub(super) const IN_2100: UnixTime = UnixTime::from_secs(4_102_444_800);

/// The key of a number.
pub(super) fn key(number: u8) -> RecordKey {
    RecordKey::new(Collection::SESSIONS, [number; 32])
}

/// A record that stays.
pub(super) fn record(content: impl Into<Bytes>) -> SealedRecord {
    SealedRecord::new(content.into(), IN_2100)
}

impl SealedStore<'_> {
    /// A record that is over later in the trial.
    pub(super) fn short(&self) -> SealedRecord {
        SealedRecord::new("short".into(), self.soon())
    }

    /// A creation that must succeed.
    pub(super) async fn create(&self, key: RecordKey, record: SealedRecord) -> Result<Version, Finding> {
        written(self.store().compare_and_swap(key, None, record).await?)
    }

    /// A write that must succeed.
    pub(super) async fn replace(
        &self,
        key: RecordKey,
        version: Version,
        record: SealedRecord,
    ) -> Result<Version, Finding> {
        written(self.store().compare_and_swap(key, Some(version), record).await?)
    }

    /// A record that must be there.
    pub(super) async fn load(&self, key: RecordKey) -> Result<StoredRecord, Finding> {
        self.other().load(key).await?.ok_or_else(|| Finding("a record is gone".to_owned()))
    }
}

fn written(version: Option<Version>) -> Result<Version, Finding> {
    version.ok_or_else(|| Finding("a write is refused although nothing is in its way".to_owned()))
}
