//! [`MemoryStore`]: rows for as long as the process lives.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use portcullis_core::{Clock, SystemClock, UnixTime};
use tokio::sync::Notify;

use crate::{
    Collection, Events, Expected, Lease, LeaseOutcome, Position, RecordKey, Row, Store, StoreFuture, StoredRow, Swap,
    Table, Version,
};

/// How many events are kept.
const MAX_EVENTS: usize = 4096;

/// A store in the memory of this process: not durable, not shared with other processes. Clones are the same store.
///
/// It is as large as what was put in and neither removed nor [swept](Store::sweep). It does not sweep itself: the end of a row may
/// need [work](Store::expired).
#[derive(Clone)]
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    table: Arc<Mutex<Table>>,
    appended: Arc<Notify>,
}

impl MemoryStore {
    /// Creates an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self { clock: Arc::new(SystemClock::new()), table: Arc::default(), appended: Arc::default() }
    }

    /// Sets the clock that times leases and expiries. Default: [`SystemClock`].
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// What is done under the lock neither waits nor panics half-way.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl Store for MemoryStore {
    fn load(&self, key: RecordKey) -> StoreFuture<'_, Option<StoredRow>> {
        Box::pin(async move { Ok(self.table().load(key, self.clock.now()).cloned()) })
    }

    fn load_even_expired(&self, key: RecordKey) -> StoreFuture<'_, Option<StoredRow>> {
        Box::pin(async move { Ok(self.table().load_even_expired(key).cloned()) })
    }

    fn compare_and_swap(
        &self,
        key: RecordKey,
        expected: Expected,
        new: Row,
        lease: Option<Lease>,
    ) -> StoreFuture<'_, Swap> {
        Box::pin(async move { Ok(self.table().compare_and_swap(key, expected, new, lease, self.clock.now())) })
    }

    fn compare_and_remove(&self, key: RecordKey, expected: Version) -> StoreFuture<'_, bool> {
        Box::pin(async move { Ok(self.table().compare_and_remove(key, expected)) })
    }

    fn lease(&self, key: RecordKey, ttl: Duration) -> StoreFuture<'_, LeaseOutcome> {
        Box::pin(async move { Ok(self.table().lease(key, ttl, self.clock.now())) })
    }

    fn renew(&self, key: RecordKey, lease: Lease, ttl: Duration) -> StoreFuture<'_, bool> {
        Box::pin(async move { Ok(self.table().renew(key, lease, self.clock.now() + ttl)) })
    }

    fn release(&self, key: RecordKey, lease: Lease) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.table().release(key, lease);
            Ok(())
        })
    }

    fn expired(
        &self,
        collection: Collection,
        confirmed: UnixTime,
        limit: usize,
    ) -> StoreFuture<'_, Vec<(RecordKey, StoredRow)>> {
        Box::pin(async move {
            let now = self.clock.now().min(confirmed);
            Ok(self.table().expired(collection, now, limit))
        })
    }

    fn next_to_expire(&self, collection: Collection, limit: usize) -> StoreFuture<'_, Vec<(RecordKey, StoredRow)>> {
        Box::pin(async move {
            let now = self.clock.now();
            Ok(self.table().next_to_expire(collection, now, limit))
        })
    }

    fn sweep(&self, collection: Collection, confirmed: UnixTime) -> StoreFuture<'_, u64> {
        Box::pin(async move { Ok(self.table().sweep(collection, self.clock.now().min(confirmed))) })
    }

    fn count(&self, collection: Collection) -> StoreFuture<'_, u64> {
        Box::pin(async move { Ok(self.table().count(collection)) })
    }

    fn page(
        &self,
        collection: Collection,
        after: Option<RecordKey>,
        limit: usize,
    ) -> StoreFuture<'_, Vec<(RecordKey, StoredRow)>> {
        Box::pin(async move {
            let now = self.clock.now();
            Ok(self.table().page(collection, after, now, limit))
        })
    }

    fn append_event(&self, event: Bytes) -> StoreFuture<'_, Position> {
        Box::pin(async move {
            let position = self.table().append_event(event, MAX_EVENTS);
            self.appended.notify_waiters();
            Ok(position)
        })
    }

    fn events_after(&self, after: Position, limit: usize) -> StoreFuture<'_, Events> {
        Box::pin(async move { Ok(self.table().events_after(after, limit)) })
    }

    fn last_position(&self) -> StoreFuture<'_, Position> {
        Box::pin(async move { Ok(self.table().last_position()) })
    }

    fn wait_for_events(&self, after: Position) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            loop {
                // Listening comes first, so that no event between the two is missed.
                let mut appended = std::pin::pin!(self.appended.notified());
                appended.as_mut().enable();
                if self.table().last_position() != after {
                    return Ok(());
                }
                appended.await;
            }
        })
    }

    fn is_durable(&self) -> bool {
        false
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("rows", &self.table().len()).finish_non_exhaustive()
    }
}
