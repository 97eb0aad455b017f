//! [`MemoryRecords`]: records for as long as the process lives.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use portcullis_core::{Clock, UnixTime};

use super::{Collection, RecordKey, RecordStore, SealedRecord, StoredRecord};
use crate::{StoreFuture, Version};

/// A store in the memory of this process: not durable, not shared with other processes. Clones are the same store.
///
/// It is as large as what was put in and neither removed nor [swept](RecordStore::sweep). It does not sweep itself: the end of a
/// row may need [work](RecordStore::expired).
#[derive(Clone)]
pub struct MemoryRecords {
    clock: Arc<dyn Clock>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    rows: BTreeMap<RecordKey, StoredRecord>,
    /// The same rows, in the order in which they expire.
    ends: BTreeSet<(Collection, UnixTime, RecordKey)>,
    /// The highest version there has been.
    version: u64,
}

impl MemoryRecords {
    /// An empty store.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Arc::default() }
    }

    /// What is done under the lock neither waits nor panics half-way.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn alive(&self, key: RecordKey, now: UnixTime) -> Option<&StoredRecord> {
        self.rows.get(&key).filter(|row| now < row.record.expires_at)
    }

    fn swap(&mut self, key: RecordKey, expected: Option<Version>, new: SealedRecord, now: UnixTime) -> Option<Version> {
        if self.alive(key, now).map(|row| row.version) != expected {
            return None;
        }
        self.remove(key);
        self.version += 1;
        let version = Version::new(self.version);
        self.ends.insert((key.table(), new.expires_at, key));
        self.rows.insert(key, StoredRecord::new(version, new));
        Some(version)
    }

    fn remove(&mut self, key: RecordKey) {
        if let Some(row) = self.rows.remove(&key) {
            self.ends.remove(&(key.table(), row.record.expires_at, key));
        }
    }

    /// The rows of `table` that have expired, the oldest first.
    fn expired(&self, table: Collection, now: UnixTime) -> impl Iterator<Item = RecordKey> {
        let first = (table, UnixTime::from_nanos(0), RecordKey::new(table, [0; 32]));
        let of_table = self.ends.range(first..).take_while(move |(of, ..)| *of == table);
        of_table.take_while(move |(_, end, _)| *end <= now).map(|(.., key)| *key)
    }

    /// The rows of `table` that have not expired, the first to do so first.
    fn next_to_expire(&self, table: Collection, now: UnixTime) -> impl Iterator<Item = RecordKey> {
        let last = (table, now, RecordKey::new(table, [u8::MAX; 32]));
        let of_table = self.ends.range((Bound::Excluded(last), Bound::Unbounded));
        of_table.take_while(move |(of, ..)| *of == table).map(|(.., key)| *key)
    }

    /// The rows of `table` after `after`, in the order of their keys.
    fn after(&self, table: Collection, after: Option<RecordKey>) -> impl Iterator<Item = (RecordKey, &StoredRecord)> {
        let first = RecordKey::new(table, [0; 32]);
        let first = after.map_or(Bound::Included(first), Bound::Excluded);
        let rows = self.rows.range((first, Bound::Unbounded)).take_while(move |(key, _)| key.table() == table);
        rows.map(|(key, row)| (*key, row))
    }
}

impl RecordStore for MemoryRecords {
    fn load(&self, key: RecordKey) -> StoreFuture<'_, Option<StoredRecord>> {
        Box::pin(async move { Ok(self.state().alive(key, self.clock.now()).cloned()) })
    }

    fn compare_and_swap(
        &self,
        key: RecordKey,
        expected: Option<Version>,
        new: SealedRecord,
    ) -> StoreFuture<'_, Option<Version>> {
        Box::pin(async move { Ok(self.state().swap(key, expected, new, self.clock.now())) })
    }

    fn compare_and_remove(&self, key: RecordKey, expected: Version) -> StoreFuture<'_, bool> {
        Box::pin(async move {
            let mut state = self.state();
            let as_expected = state.rows.get(&key).is_some_and(|row| row.version == expected);
            if as_expected {
                state.remove(key);
            }
            Ok(as_expected)
        })
    }

    fn expired(&self, table: Collection, limit: usize) -> StoreFuture<'_, Vec<(RecordKey, StoredRecord)>> {
        Box::pin(async move {
            let (now, state) = (self.clock.now(), self.state());
            let due = state.expired(table, now).take(limit);
            Ok(due.filter_map(|key| Some((key, state.rows.get(&key)?.clone()))).collect())
        })
    }

    fn sweep(&self, table: Collection) -> StoreFuture<'_, u64> {
        Box::pin(async move {
            let (now, mut state) = (self.clock.now(), self.state());
            let due: Vec<_> = state.expired(table, now).collect();
            due.iter().for_each(|key| state.remove(*key));
            Ok(due.len() as u64)
        })
    }

    fn count(&self, table: Collection) -> StoreFuture<'_, u64> {
        Box::pin(async move { Ok(self.state().after(table, None).count() as u64) })
    }

    fn next_to_expire(&self, table: Collection, limit: usize) -> StoreFuture<'_, Vec<(RecordKey, StoredRecord)>> {
        Box::pin(async move {
            let (now, state) = (self.clock.now(), self.state());
            let soonest = state.next_to_expire(table, now).take(limit);
            Ok(soonest.filter_map(|key| Some((key, state.rows.get(&key)?.clone()))).collect())
        })
    }

    fn page(
        &self,
        table: Collection,
        after: Option<RecordKey>,
        limit: usize,
    ) -> StoreFuture<'_, Vec<(RecordKey, StoredRecord)>> {
        Box::pin(async move {
            let (now, state) = (self.clock.now(), self.state());
            let alive = state.after(table, after).filter(|(_, row)| now < row.record.expires_at);
            Ok(alive.take(limit).map(|(key, row)| (key, row.clone())).collect())
        })
    }

    fn is_durable(&self) -> bool {
        false
    }
}

impl fmt::Debug for MemoryRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryRecords").field("records", &self.state().rows.len()).finish_non_exhaustive()
    }
}
