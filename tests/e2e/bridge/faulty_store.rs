//! [`FaultyStore`]: a store that can be read, and at times not written.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use portcullis::{
    grants::{Lease, LeaseOutcome, SealedGrant, StoreError, StoreFuture, StoredRow, Swap, TokenStore, Version},
    sqlite::SqliteStore,
    types::GrantId,
};

/// A store that can be read, and at times not written.
#[derive(Debug)]
pub(crate) struct FaultyStore {
    pub(crate) store: SqliteStore,
    pub(crate) is_read_only: Arc<AtomicBool>,
}

impl TokenStore for FaultyStore {
    fn load(&self, id: GrantId) -> StoreFuture<'_, Option<StoredRow>> {
        TokenStore::load(&self.store, id)
    }

    fn compare_and_swap(
        &self,
        id: GrantId,
        expected: Option<Version>,
        grant: SealedGrant,
        lease: Option<Lease>,
    ) -> StoreFuture<'_, Swap> {
        if self.is_read_only.load(Ordering::Relaxed) {
            return Box::pin(async { Err(StoreError::new("the disk is full")) });
        }
        TokenStore::compare_and_swap(&self.store, id, expected, grant, lease)
    }

    fn compare_and_remove(&self, id: GrantId, expected: Version) -> StoreFuture<'_, bool> {
        TokenStore::compare_and_remove(&self.store, id, expected)
    }

    fn lease(&self, id: GrantId, ttl: Duration) -> StoreFuture<'_, LeaseOutcome> {
        self.store.lease(id, ttl)
    }

    fn renew(&self, id: GrantId, lease: Lease, ttl: Duration) -> StoreFuture<'_, bool> {
        self.store.renew(id, lease, ttl)
    }

    fn release(&self, id: GrantId, lease: Lease) -> StoreFuture<'_, ()> {
        self.store.release(id, lease)
    }

    fn sweep(&self) -> StoreFuture<'_, u64> {
        TokenStore::sweep(&self.store)
    }

    fn page(&self, after: Option<GrantId>, limit: usize) -> StoreFuture<'_, Vec<(GrantId, StoredRow)>> {
        TokenStore::page(&self.store, after, limit)
    }

    fn is_durable(&self) -> bool {
        true
    }
}
