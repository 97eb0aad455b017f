//! [`MemoryStore`]: rows for as long as the process lives.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use portcullis_core::{Clock, SystemClock, UnixTime};
use tokio::sync::Notify;

use crate::{
    Collection, Events, Expected, Lease, LeaseOutcome, Position, RecordKey, Row, Store, StoreFuture, StoredRow, Swap,
    Version,
};

/// A store in the memory of this process: not durable, not shared with other processes. Clones are the same store.
///
/// It is as large as what was put in and neither removed nor [swept](Store::sweep). It does not sweep itself: the end of a row may
/// need [work](Store::expired).
#[derive(Clone)]
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    state: Arc<Mutex<State>>,
    appended: Arc<Notify>,
}

#[derive(Default)]
struct State {
    rows: BTreeMap<Place, StoredRow>,
    /// The same rows, in the order in which they expire.
    ends: BTreeSet<(u8, UnixTime, [u8; 32])>,
    /// The highest version there has been.
    version: u64,
    /// Those that were not released.
    leases: BTreeMap<RecordKey, Held>,
    /// The highest fence there has been.
    fence: u64,
    /// How many leases there may be before those that are of no use are forgotten.
    lease_capacity: usize,
    events: VecDeque<Bytes>,
    /// The position of the last event. The others have those before it.
    last_event: u64,
}

/// The number of a collection, and the bytes of a key: what there is of a [`RecordKey`] in each row.
type Place = (u8, [u8; 32]);

const fn place(key: RecordKey) -> Place {
    (key.collection().number(), *key.as_bytes())
}

struct Held {
    fence: u64,
    until: UnixTime,
}

/// With fewer leases, none are looked for that can be forgotten.
const MIN_LEASES: usize = 64;

/// How many events are kept.
const MAX_EVENTS: usize = 4096;

impl MemoryStore {
    /// Creates an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self { clock: Arc::new(SystemClock::new()), state: Arc::default(), appended: Arc::default() }
    }

    /// Sets the clock that times leases and expiries. Default: [`SystemClock`].
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// What is done under the lock neither waits nor panics half-way.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    fn unexpired(&self, key: RecordKey, now: UnixTime) -> Option<&StoredRow> {
        self.rows.get(&place(key)).filter(|stored| now < stored.row.expires_at)
    }

    fn is_as_expected(&self, key: RecordKey, expected: Expected, now: UnixTime) -> bool {
        match expected {
            Expected::Absent => self.unexpired(key, now).is_none(),
            Expected::Unexpired(version) => self.unexpired(key, now).is_some_and(|stored| stored.version == version),
            Expected::EvenExpired(version) => {
                self.rows.get(&place(key)).is_some_and(|stored| stored.version == version)
            }
        }
    }

    fn swap(&mut self, key: RecordKey, expected: Expected, new: Row, lease: Option<Lease>, now: UnixTime) -> Swap {
        if lease.is_some_and(|lease| !self.is_held(key, lease)) {
            return Swap::Fenced;
        }
        if !self.is_as_expected(key, expected, now) {
            return Swap::Conflict;
        }
        if let Some(lease) = lease {
            self.release(key, lease);
        }
        self.remove(key);
        self.version += 1;
        let version = Version::new(self.version);
        let (collection, bytes) = place(key);
        self.ends.insert((collection, new.expires_at, bytes));
        self.rows.insert((collection, bytes), StoredRow::new(version, new));
        Swap::Written(version)
    }

    fn remove(&mut self, key: RecordKey) {
        let (collection, bytes) = place(key);
        if let Some(stored) = self.rows.remove(&(collection, bytes)) {
            self.ends.remove(&(collection, stored.row.expires_at, bytes));
        }
    }

    fn compare_and_remove(&mut self, key: RecordKey, expected: Version) -> bool {
        let is_as_expected = self.rows.get(&place(key)).is_some_and(|stored| stored.version == expected);
        if is_as_expected {
            self.remove(key);
        }
        is_as_expected
    }

    fn lease(&mut self, key: RecordKey, ttl: Duration, now: UnixTime) -> LeaseOutcome {
        let before = self.leases.get(&key);
        // A lease that ends later than any caller asks for is from before the clock was set back.
        if before.is_some_and(|held| now < held.until && held.until <= now + ttl + ttl) {
            return LeaseOutcome::Held;
        }
        let after_abandoned = before.is_some();
        self.fence += 1;
        self.leases.insert(key, Held { fence: self.fence, until: now + ttl });
        if self.leases.len() > self.lease_capacity {
            self.sweep_leases(now, |_| true);
            self.lease_capacity = (2 * self.leases.len()).max(MIN_LEASES);
        }
        LeaseOutcome::Acquired(Lease::new(self.fence, after_abandoned))
    }

    fn is_held(&self, key: RecordKey, lease: Lease) -> bool {
        self.leases.get(&key).is_some_and(|held| held.fence == lease.fence)
    }

    fn renew(&mut self, key: RecordKey, lease: Lease, until: UnixTime) -> bool {
        let held = self.leases.get_mut(&key).filter(|held| held.fence == lease.fence);
        held.map(|held| held.until = until).is_some()
    }

    fn release(&mut self, key: RecordKey, lease: Lease) {
        if self.is_held(key, lease) {
            self.leases.remove(&key);
        }
    }

    /// An abandoned lease is remembered for as long as there is a row that its holder may have left half done.
    fn sweep_leases(&mut self, now: UnixTime, is_swept: impl Fn(Collection) -> bool) {
        let Self { leases, rows, .. } = self;
        leases.retain(|key, held| !is_swept(key.collection()) || now < held.until || rows.contains_key(&place(*key)));
    }

    fn sweep(&mut self, collection: Collection, now: UnixTime) -> u64 {
        let expired: Vec<_> = self.expired(collection, now).collect();
        expired.iter().for_each(|key| self.remove(*key));
        self.sweep_leases(now, |swept| swept == collection);
        expired.len() as u64
    }

    /// The rows of `collection` that have expired, the oldest first.
    fn expired(&self, collection: Collection, now: UnixTime) -> impl Iterator<Item = RecordKey> {
        let number = collection.number();
        let first = (number, UnixTime::from_nanos(0), [0; 32]);
        let ends = self.ends.range(first..).take_while(move |(of, end, _)| *of == number && *end <= now);
        ends.map(move |(.., bytes)| RecordKey::new(collection, *bytes))
    }

    /// The rows of `collection` that have not expired, the first to expire first.
    fn next_to_expire(&self, collection: Collection, now: UnixTime) -> impl Iterator<Item = RecordKey> {
        let number = collection.number();
        let ends = self.ends.range((Bound::Excluded((number, now, [u8::MAX; 32])), Bound::Unbounded));
        ends.take_while(move |(of, ..)| *of == number).map(move |(.., bytes)| RecordKey::new(collection, *bytes))
    }

    /// The rows of `collection` after `after`, in the order of their keys.
    fn after(&self, collection: Collection, after: Option<RecordKey>) -> impl Iterator<Item = (RecordKey, &StoredRow)> {
        let number = collection.number();
        let first = after.map_or(Bound::Included((number, [0; 32])), |after| Bound::Excluded(place(after)));
        let rows = self.rows.range((first, Bound::Unbounded)).take_while(move |((of, _), _)| *of == number);
        rows.map(move |((_, bytes), stored)| (RecordKey::new(collection, *bytes), stored))
    }

    fn stored(&self, keys: impl Iterator<Item = RecordKey>) -> Vec<(RecordKey, StoredRow)> {
        keys.filter_map(|key| Some((key, self.rows.get(&place(key))?.clone()))).collect()
    }

    fn append(&mut self, event: Bytes) -> Position {
        if self.events.len() >= MAX_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
        self.last_event += 1;
        Position::new(self.last_event)
    }

    fn events_after(&self, after: Position, limit: usize) -> Events {
        let first = self.last_event - self.events.len() as u64;
        let has_gap = !(first..=self.last_event).contains(&after.number());
        let start = if has_gap { first } else { after.number() };
        let skipped = usize::try_from(start - first).unwrap_or(usize::MAX);
        let events: Vec<_> = self.events.iter().skip(skipped).take(limit).cloned().collect();
        let position = Position::new(start + events.len() as u64);
        Events::new(events, position, has_gap)
    }
}

impl Store for MemoryStore {
    fn load(&self, key: RecordKey) -> StoreFuture<'_, Option<StoredRow>> {
        Box::pin(async move { Ok(self.state().unexpired(key, self.clock.now()).cloned()) })
    }

    fn load_even_expired(&self, key: RecordKey) -> StoreFuture<'_, Option<StoredRow>> {
        Box::pin(async move { Ok(self.state().rows.get(&place(key)).cloned()) })
    }

    fn compare_and_swap(
        &self,
        key: RecordKey,
        expected: Expected,
        new: Row,
        lease: Option<Lease>,
    ) -> StoreFuture<'_, Swap> {
        Box::pin(async move { Ok(self.state().swap(key, expected, new, lease, self.clock.now())) })
    }

    fn compare_and_remove(&self, key: RecordKey, expected: Version) -> StoreFuture<'_, bool> {
        Box::pin(async move { Ok(self.state().compare_and_remove(key, expected)) })
    }

    fn lease(&self, key: RecordKey, ttl: Duration) -> StoreFuture<'_, LeaseOutcome> {
        Box::pin(async move { Ok(self.state().lease(key, ttl, self.clock.now())) })
    }

    fn renew(&self, key: RecordKey, lease: Lease, ttl: Duration) -> StoreFuture<'_, bool> {
        Box::pin(async move { Ok(self.state().renew(key, lease, self.clock.now() + ttl)) })
    }

    fn release(&self, key: RecordKey, lease: Lease) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.state().release(key, lease);
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
            let (now, state) = (self.clock.now().min(confirmed), self.state());
            Ok(state.stored(state.expired(collection, now).take(limit)))
        })
    }

    fn next_to_expire(&self, collection: Collection, limit: usize) -> StoreFuture<'_, Vec<(RecordKey, StoredRow)>> {
        Box::pin(async move {
            let (now, state) = (self.clock.now(), self.state());
            Ok(state.stored(state.next_to_expire(collection, now).take(limit)))
        })
    }

    fn sweep(&self, collection: Collection, confirmed: UnixTime) -> StoreFuture<'_, u64> {
        Box::pin(async move { Ok(self.state().sweep(collection, self.clock.now().min(confirmed))) })
    }

    fn count(&self, collection: Collection) -> StoreFuture<'_, u64> {
        Box::pin(async move { Ok(self.state().after(collection, None).count() as u64) })
    }

    fn page(
        &self,
        collection: Collection,
        after: Option<RecordKey>,
        limit: usize,
    ) -> StoreFuture<'_, Vec<(RecordKey, StoredRow)>> {
        Box::pin(async move {
            let (now, state) = (self.clock.now(), self.state());
            let unexpired = state.after(collection, after).filter(|(_, stored)| now < stored.row.expires_at);
            Ok(unexpired.take(limit).map(|(key, stored)| (key, stored.clone())).collect())
        })
    }

    fn append_event(&self, event: Bytes) -> StoreFuture<'_, Position> {
        Box::pin(async move {
            let position = self.state().append(event);
            self.appended.notify_waiters();
            Ok(position)
        })
    }

    fn events_after(&self, after: Position, limit: usize) -> StoreFuture<'_, Events> {
        Box::pin(async move { Ok(self.state().events_after(after, limit)) })
    }

    fn last_position(&self) -> StoreFuture<'_, Position> {
        Box::pin(async move { Ok(Position::new(self.state().last_event)) })
    }

    fn wait_for_events(&self, after: Position) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            loop {
                // Listening comes first, so that no event between the two is missed.
                let mut appended = std::pin::pin!(self.appended.notified());
                appended.as_mut().enable();
                if self.state().last_event != after.number() {
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
        f.debug_struct("MemoryStore").field("rows", &self.state().rows.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use portcullis_testkit::TestClock;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn abandoned_leases_do_not_accumulate() {
        const COLLECTION: Collection = Collection::new(200, "test");
        let clock = TestClock::new();
        let store = MemoryStore::new().with_clock(Arc::new(clock.clone()));
        for number in 0..10_000_u64 {
            let key = RecordKey::of(COLLECTION, &[&number.to_be_bytes()]);
            store.lease(key, Duration::from_millis(1)).await.expect("no failure");
            clock.advance(Duration::from_secs(1));
        }
        assert!(store.state().leases.len() <= MIN_LEASES);
    }
}
