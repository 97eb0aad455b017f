//! A store that fails on command, around one that does not.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use portcullis_core::GrantId;
use portcullis_grants::{
    Lease, LeaseOutcome, MemoryStore, SealedGrant, StoreError, StoreFuture, StoredRow, Swap, TokenStore, Version,
};

#[derive(Clone, Debug)]
pub(crate) struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: MemoryStore,
    refuses_reads: AtomicBool,
    refuses_writes: AtomicBool,
    hangs: AtomicBool,
    swaps: AtomicUsize,
}

impl Store {
    pub(crate) fn new(store: MemoryStore) -> Self {
        Self(Arc::new(Inner {
            store,
            refuses_reads: AtomicBool::default(),
            refuses_writes: AtomicBool::default(),
            hangs: AtomicBool::default(),
            swaps: AtomicUsize::default(),
        }))
    }

    pub(crate) fn refuse_reads(&self, refuses: bool) {
        self.0.refuses_reads.store(refuses, Relaxed);
    }

    /// Rows cannot be written any more; leases can.
    pub(crate) fn refuse_writes(&self, refuses: bool) {
        self.0.refuses_writes.store(refuses, Relaxed);
    }

    /// Rows are never written, and nobody says so.
    pub(crate) fn hang(&self, hangs: bool) {
        self.0.hangs.store(hangs, Relaxed);
    }

    /// How many writes were attempted.
    pub(crate) fn swaps(&self) -> usize {
        self.0.swaps.load(Relaxed)
    }
}

impl TokenStore for Store {
    fn load(&self, id: GrantId) -> StoreFuture<'_, Option<StoredRow>> {
        if self.0.refuses_reads.load(Relaxed) {
            return Box::pin(async { Err(StoreError::new("reading")) });
        }
        self.0.store.load(id)
    }

    fn compare_and_swap(
        &self,
        id: GrantId,
        expected: Option<Version>,
        new: SealedGrant,
        lease: Option<Lease>,
    ) -> StoreFuture<'_, Swap> {
        self.0.swaps.fetch_add(1, Relaxed);
        if self.0.hangs.load(Relaxed) {
            return Box::pin(std::future::pending());
        }
        if self.0.refuses_writes.load(Relaxed) {
            return Box::pin(async { Err(StoreError::new("writing")) });
        }
        self.0.store.compare_and_swap(id, expected, new, lease)
    }

    fn compare_and_remove(&self, id: GrantId, expected: Version) -> StoreFuture<'_, bool> {
        self.0.store.compare_and_remove(id, expected)
    }

    fn lease(&self, id: GrantId, ttl: Duration) -> StoreFuture<'_, LeaseOutcome> {
        self.0.store.lease(id, ttl)
    }

    fn renew(&self, id: GrantId, lease: Lease, ttl: Duration) -> StoreFuture<'_, bool> {
        self.0.store.renew(id, lease, ttl)
    }

    fn release(&self, id: GrantId, lease: Lease) -> StoreFuture<'_, ()> {
        self.0.store.release(id, lease)
    }

    fn sweep(&self) -> StoreFuture<'_, u64> {
        self.0.store.sweep()
    }

    fn page(&self, after: Option<GrantId>, limit: usize) -> StoreFuture<'_, Vec<(GrantId, StoredRow)>> {
        self.0.store.page(after, limit)
    }

    fn is_durable(&self) -> bool {
        false
    }
}
