//! [`Fixture`]: a store in which something happens just before a row is written.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use portcullis_core::{Clock as _, UnixTime};
use portcullis_store::{
    Collection, Expected, KeyRing, MemoryStore, RecordKey, Row, SealedStore, Store as _, StoreFuture,
    conformance::{Call, FaultyStore},
};
use portcullis_testkit::TestClock;

pub(crate) const COLLECTION: Collection = Collection::new(4, "sessions");
pub(crate) const OTHER: Collection = Collection::new(2, "logins");

/// A store in memory that claims to be durable.
#[derive(Clone)]
pub(crate) struct Fixture {
    pub(crate) clock: TestClock,
    pub(crate) rows: MemoryStore,
    pub(crate) store: FaultyStore,
    before_write: Arc<Mutex<Option<StoreFuture<'static, ()>>>>,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let clock = TestClock::new();
        let rows = MemoryStore::new().with_clock(Arc::new(clock.clone()));
        let before_write = Arc::new(Mutex::new(None::<StoreFuture<'static, ()>>));
        let next = Arc::clone(&before_write);
        let store = FaultyStore::new(rows.clone(), move |call| match call {
            Call::Swap(_) | Call::Remove(_) => next.lock().expect("lock").take().unwrap_or_else(FaultyStore::pass),
            _ => FaultyStore::pass(),
        });
        Self { clock, rows, store: store.claim_durable(), before_write }
    }

    /// These rows, sealed with keys that consist of one byte each.
    pub(crate) fn with_keys(&self, keys: &[u8]) -> SealedStore {
        SealedStore::new(Arc::new(self.store.clone()), ring(keys)).expect("the keys are durable")
    }

    /// Does this just before the next row is written or removed.
    pub(crate) fn before_next_write(&self, interference: impl Future<Output = ()> + Send + 'static) {
        *self.before_write.lock().expect("lock") = Some(Box::pin(async {
            interference.await;
            Ok(())
        }));
    }

    /// Changes the last byte of a sealed row, so that the row does not open.
    pub(crate) async fn damage(&self, key: RecordKey) {
        let row = self.rows.load(key).await.expect("memory").expect("a row");
        let mut sealed = row.row.sealed.to_vec();
        *sealed.last_mut().expect("a byte") ^= 1;
        let damaged = Row::new(sealed.into(), row.row.expires_at);
        self.rows.compare_and_swap(key, Expected::Unexpired(row.version), damaged, None).await.expect("memory");
    }

    pub(crate) fn soon(&self) -> UnixTime {
        self.clock.now() + Duration::from_secs(60)
    }

    pub(crate) fn later(&self) {
        self.clock.advance(Duration::from_secs(60));
    }
}

pub(crate) fn ring(keys: &[u8]) -> KeyRing {
    let keys: Vec<_> = keys.iter().map(|key| [*key; 32]).collect();
    KeyRing::new(&keys).expect("keys")
}

pub(crate) fn key(number: u32) -> RecordKey {
    RecordKey::of(COLLECTION, &[&number.to_be_bytes()])
}
