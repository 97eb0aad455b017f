//! [`Shelf`]: a store that takes its time, and can be out of order.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use portcullis_grants::{
    StoreError, StoreFuture, Version,
    records::{Collection, MemoryRecords, RecordKey, RecordStore, SealedRecord, StoredRecord},
};
use tokio::task::yield_now;

/// A store in memory in which others get a turn before and after everything, and that can be out of order.
#[derive(Clone, Debug)]
pub(crate) struct Shelf {
    rows: MemoryRecords,
    is_broken: Arc<AtomicBool>,
    loses_answers: Arc<AtomicBool>,
    /// The table that nothing can be written to.
    full: Arc<Mutex<Option<Collection>>>,
}

impl Shelf {
    pub(crate) fn new(rows: MemoryRecords) -> Self {
        Self { rows, is_broken: Arc::default(), loses_answers: Arc::default(), full: Arc::default() }
    }

    /// From now on it fails, or works again.
    pub(crate) fn set_broken(&self, is_broken: bool) {
        self.is_broken.store(is_broken, Ordering::SeqCst);
    }

    /// From now on it writes, and nobody hears of it; or works again.
    pub(crate) fn set_loses_answers(&self, loses_answers: bool) {
        self.loses_answers.store(loses_answers, Ordering::SeqCst);
    }

    /// From now on nothing can be written to this table; or to every one again.
    pub(crate) fn set_full(&self, table: Option<Collection>) {
        *self.full.lock().expect("not poisoned") = table;
    }

    fn slowly<'a, T: Send + 'a>(
        &'a self,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'a,
    ) -> StoreFuture<'a, T> {
        Box::pin(async move {
            yield_now().await;
            if self.is_broken.load(Ordering::SeqCst) {
                return Err(StoreError::new("a test broke the store"));
            }
            let outcome = work.await;
            yield_now().await;
            outcome
        })
    }
}

impl RecordStore for Shelf {
    fn load(&self, key: RecordKey) -> StoreFuture<'_, Option<StoredRecord>> {
        self.slowly(self.rows.load(key))
    }

    fn compare_and_swap(
        &self,
        key: RecordKey,
        expected: Option<Version>,
        new: SealedRecord,
    ) -> StoreFuture<'_, Option<Version>> {
        self.slowly(async move {
            if *self.full.lock().expect("not poisoned") == Some(key.table()) {
                return Err(StoreError::new("a test has filled the table"));
            }
            let outcome = self.rows.compare_and_swap(key, expected, new).await;
            if self.loses_answers.load(Ordering::SeqCst) {
                Err(StoreError::new("a test lost the answer"))
            } else {
                outcome
            }
        })
    }

    fn compare_and_remove(&self, key: RecordKey, expected: Version) -> StoreFuture<'_, bool> {
        self.slowly(async move { self.rows.compare_and_remove(key, expected).await })
    }

    fn expired(&self, table: Collection, limit: usize) -> StoreFuture<'_, Vec<(RecordKey, StoredRecord)>> {
        self.slowly(async move { self.rows.expired(table, limit).await })
    }

    fn sweep(&self, table: Collection) -> StoreFuture<'_, u64> {
        self.slowly(async move { self.rows.sweep(table).await })
    }

    fn count(&self, table: Collection) -> StoreFuture<'_, u64> {
        self.slowly(async move { self.rows.count(table).await })
    }

    fn next_to_expire(&self, table: Collection, limit: usize) -> StoreFuture<'_, Vec<(RecordKey, StoredRecord)>> {
        self.slowly(async move { self.rows.next_to_expire(table, limit).await })
    }

    fn page(
        &self,
        table: Collection,
        after: Option<RecordKey>,
        limit: usize,
    ) -> StoreFuture<'_, Vec<(RecordKey, StoredRecord)>> {
        self.slowly(async move { self.rows.page(table, after, limit).await })
    }

    fn is_durable(&self) -> bool {
        self.rows.is_durable()
    }
}
