//! A store that fails on command.

use std::{
    future::pending,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};

use portcullis_store::{
    MemoryStore, StoreFuture,
    conformance::{Call, FaultyStore},
};

#[derive(Clone, Debug)]
pub(crate) struct Store {
    store: FaultyStore,
    faults: Arc<Faults>,
}

#[derive(Debug, Default)]
struct Faults {
    refuses_reads: AtomicBool,
    refuses_writes: AtomicBool,
    hangs: AtomicBool,
    swaps: AtomicUsize,
}

impl Faults {
    fn check(&self, call: Call) -> StoreFuture<'static, ()> {
        match call {
            Call::Load(_) if self.refuses_reads.load(Relaxed) => FaultyStore::fail("reading"),
            Call::Swap(_) => {
                self.swaps.fetch_add(1, Relaxed);
                if self.hangs.load(Relaxed) {
                    Box::pin(pending())
                } else if self.refuses_writes.load(Relaxed) {
                    FaultyStore::fail("writing")
                } else {
                    FaultyStore::pass()
                }
            }
            _ => FaultyStore::pass(),
        }
    }
}

impl Store {
    pub(crate) fn new(store: MemoryStore) -> Self {
        let faults = Arc::new(Faults::default());
        let checked = Arc::clone(&faults);
        Self { store: FaultyStore::new(store, move |call| checked.check(call)), faults }
    }

    pub(crate) fn shared(&self) -> Arc<FaultyStore> {
        Arc::new(self.store.clone())
    }

    pub(crate) fn refuse_reads(&self, refuses: bool) {
        self.faults.refuses_reads.store(refuses, Relaxed);
    }

    /// Makes writes of rows fail, and not those of leases.
    pub(crate) fn refuse_writes(&self, refuses: bool) {
        self.faults.refuses_writes.store(refuses, Relaxed);
    }

    /// Makes writes of rows hang.
    pub(crate) fn hang(&self, hangs: bool) {
        self.faults.hangs.store(hangs, Relaxed);
    }

    /// Returns the number of attempted writes.
    pub(crate) fn swaps(&self) -> usize {
        self.faults.swaps.load(Relaxed)
    }
}

impl Deref for Store {
    type Target = FaultyStore;

    fn deref(&self) -> &FaultyStore {
        &self.store
    }
}
