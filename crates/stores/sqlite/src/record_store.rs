//! [`SqliteStore`] as a [`RecordStore`]: beside the grants, in the same file.

use portcullis_grants::{
    StoreFuture, Version,
    records::{Collection, RecordKey, RecordStore, SealedRecord, StoredRecord},
};

use crate::{SqliteStore, records, store::failed};

impl RecordStore for SqliteStore {
    fn load(&self, key: RecordKey) -> StoreFuture<'_, Option<StoredRecord>> {
        Box::pin(async move {
            records::load(self.reader(), key, self.clock().now()).await.map_err(failed("reading a record"))
        })
    }

    fn compare_and_swap(
        &self,
        key: RecordKey,
        expected: Option<Version>,
        new: SealedRecord,
    ) -> StoreFuture<'_, Option<Version>> {
        Box::pin(async move {
            let swapped =
                self.writer().write(move |taken, now| Box::pin(records::swap(taken, key, expected, new.clone(), now)));
            swapped.await.map_err(failed("writing a record"))
        })
    }

    fn compare_and_remove(&self, key: RecordKey, expected: Version) -> StoreFuture<'_, bool> {
        Box::pin(async move {
            let removed = self.writer().write(move |taken, _| Box::pin(records::remove(taken, key, expected)));
            removed.await.map_err(failed("removing a record"))
        })
    }

    fn expired(&self, table: Collection, limit: usize) -> StoreFuture<'_, Vec<(RecordKey, StoredRecord)>> {
        Box::pin(async move {
            let due = records::expired(self.reader(), table, limit, self.clock().now()).await;
            due.map_err(failed("reading records that have expired"))
        })
    }

    fn sweep(&self, table: Collection) -> StoreFuture<'_, u64> {
        Box::pin(async move {
            let mut swept = 0;
            loop {
                let some = self.writer().write(move |taken, now| Box::pin(records::sweep(taken, table, now)));
                match some.await.map_err(failed("sweeping records"))? {
                    0 => return Ok(swept),
                    some => swept += some,
                }
            }
        })
    }

    fn count(&self, table: Collection) -> StoreFuture<'_, u64> {
        Box::pin(async move { records::count(self.reader(), table).await.map_err(failed("counting records")) })
    }

    fn next_to_expire(&self, table: Collection, limit: usize) -> StoreFuture<'_, Vec<(RecordKey, StoredRecord)>> {
        Box::pin(async move {
            let soonest = records::next_to_expire(self.reader(), table, limit, self.clock().now()).await;
            soonest.map_err(failed("reading records that will expire"))
        })
    }

    fn page(
        &self,
        table: Collection,
        after: Option<RecordKey>,
        limit: usize,
    ) -> StoreFuture<'_, Vec<(RecordKey, StoredRecord)>> {
        Box::pin(async move {
            let page = records::page(self.reader(), table, after, limit, self.clock().now()).await;
            page.map_err(failed("reading records"))
        })
    }

    fn is_durable(&self) -> bool {
        true
    }
}
