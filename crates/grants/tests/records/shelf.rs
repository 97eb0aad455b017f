//! [`Shelf`]: a store in which something happens just before a row is written.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use portcullis_core::{Clock as _, UnixTime};
use portcullis_grants::{
    KeyRing, StoreFuture, Version,
    records::{Collection, MemoryRecords, RecordKey, RecordStore, SealedRecord, SealedStore, StoredRecord},
};
use portcullis_testkit::TestClock;

pub(crate) const TABLE: Collection = Collection::SESSIONS;

/// A store in memory that says it is durable.
#[derive(Clone)]
pub(crate) struct Shelf {
    pub(crate) clock: TestClock,
    pub(crate) rows: MemoryRecords,
    before_write: Arc<Mutex<Option<StoreFuture<'static, ()>>>>,
}

impl Shelf {
    pub(crate) fn new() -> Self {
        let clock = TestClock::new();
        Self { rows: MemoryRecords::new(Arc::new(clock.clone())), clock, before_write: Arc::default() }
    }

    /// These rows, sealed with keys that consist of one byte each.
    pub(crate) fn with_keys(&self, keys: &[u8]) -> SealedStore {
        SealedStore::new(Arc::new(self.clone()), ring(keys)).expect("the keys stay")
    }

    /// Does this just before the next row is written or removed.
    pub(crate) fn meddle(&self, meddling: impl Future<Output = ()> + Send + 'static) {
        *self.before_write.lock().expect("lock") = Some(Box::pin(async {
            meddling.await;
            Ok(())
        }));
    }

    pub(crate) fn soon(&self) -> UnixTime {
        self.clock.now() + Duration::from_secs(60)
    }

    pub(crate) fn later(&self) {
        self.clock.advance(Duration::from_secs(60));
    }

    async fn meddled(&self) -> Result<(), portcullis_grants::StoreError> {
        let meddling = self.before_write.lock().expect("lock").take();
        if let Some(meddling) = meddling { meddling.await } else { Ok(()) }
    }
}

pub(crate) fn ring(keys: &[u8]) -> KeyRing {
    let keys: Vec<_> = keys.iter().map(|key| [*key; 32]).collect();
    KeyRing::new(&keys).expect("keys")
}

pub(crate) fn key(number: u32) -> RecordKey {
    RecordKey::of(TABLE, &[&number.to_be_bytes()])
}

impl fmt::Debug for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shelf")
    }
}

impl RecordStore for Shelf {
    fn load(&self, key: RecordKey) -> StoreFuture<'_, Option<StoredRecord>> {
        self.rows.load(key)
    }

    fn compare_and_swap(
        &self,
        key: RecordKey,
        expected: Option<Version>,
        new: SealedRecord,
    ) -> StoreFuture<'_, Option<Version>> {
        Box::pin(async move {
            self.meddled().await?;
            self.rows.compare_and_swap(key, expected, new).await
        })
    }

    fn compare_and_remove(&self, key: RecordKey, expected: Version) -> StoreFuture<'_, bool> {
        Box::pin(async move {
            self.meddled().await?;
            self.rows.compare_and_remove(key, expected).await
        })
    }

    fn expired(&self, table: Collection, limit: usize) -> StoreFuture<'_, Vec<(RecordKey, StoredRecord)>> {
        self.rows.expired(table, limit)
    }

    fn sweep(&self, table: Collection) -> StoreFuture<'_, u64> {
        self.rows.sweep(table)
    }

    fn count(&self, table: Collection) -> StoreFuture<'_, u64> {
        self.rows.count(table)
    }

    fn next_to_expire(&self, table: Collection, limit: usize) -> StoreFuture<'_, Vec<(RecordKey, StoredRecord)>> {
        self.rows.next_to_expire(table, limit)
    }

    fn page(
        &self,
        table: Collection,
        after: Option<RecordKey>,
        limit: usize,
    ) -> StoreFuture<'_, Vec<(RecordKey, StoredRecord)>> {
        self.rows.page(table, after, limit)
    }

    fn is_durable(&self) -> bool {
        true
    }
}
