//! [`UnreliableStore`]: a store in memory whose calls yield, and fail on demand.

use std::{
    ops::Deref,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use portcullis_store::{
    Collection, MemoryStore, Store, StoreError,
    conformance::{Call, FaultyStore},
};
use tokio::task::yield_now;

/// A store in memory that yields before and after every call, and that fails on demand.
#[derive(Clone, Debug)]
pub(crate) struct UnreliableStore {
    store: FaultyStore,
    faults: Arc<Faults>,
}

#[derive(Debug, Default)]
struct Faults {
    is_broken: AtomicBool,
    loses_answers: AtomicBool,
    /// The collection whose writes fail.
    full: Mutex<Option<Collection>>,
}

impl Faults {
    async fn before(&self, call: Call) -> Result<(), StoreError> {
        yield_now().await;
        if self.is_broken.load(SeqCst) {
            return Err(StoreError::new("injected failure"));
        }
        match call {
            Call::Swap(key) if *self.full.lock().expect("not poisoned") == Some(key.collection()) => {
                Err(StoreError::new("injected failure: the collection is full"))
            }
            _ => Ok(()),
        }
    }

    async fn after(&self, call: Call) -> Result<(), StoreError> {
        yield_now().await;
        let is_lost = matches!(call, Call::Swap(_)) && self.loses_answers.load(SeqCst);
        if is_lost { Err(StoreError::new("injected failure: the response is lost")) } else { Ok(()) }
    }
}

impl UnreliableStore {
    pub(crate) fn new(rows: MemoryStore) -> Self {
        let faults = Arc::new(Faults::default());
        let (before, after) = (Arc::clone(&faults), Arc::clone(&faults));
        let store = FaultyStore::new(rows, move |call| {
            let faults = Arc::clone(&before);
            Box::pin(async move { faults.before(call).await })
        });
        let store = store.with_after(move |call| {
            let faults = Arc::clone(&after);
            Box::pin(async move { faults.after(call).await })
        });
        Self { store, faults }
    }

    pub(crate) fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.store.clone())
    }

    /// Sets whether every call fails.
    pub(crate) fn set_broken(&self, is_broken: bool) {
        self.faults.is_broken.store(is_broken, SeqCst);
    }

    /// Sets whether every write succeeds and reports a failure.
    pub(crate) fn set_loses_answers(&self, loses_answers: bool) {
        self.faults.loses_answers.store(loses_answers, SeqCst);
    }

    /// Sets the collection whose writes fail.
    pub(crate) fn set_full(&self, collection: Option<Collection>) {
        *self.faults.full.lock().expect("not poisoned") = collection;
    }
}

impl Deref for UnreliableStore {
    type Target = FaultyStore;

    fn deref(&self) -> &FaultyStore {
        &self.store
    }
}
