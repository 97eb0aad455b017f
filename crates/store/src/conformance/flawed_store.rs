//! [`Flawed`]: a store with one flaw, by which the suite is tested.

use std::{
    collections::BTreeMap,
    future::ready,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use portcullis_core::{Clock, UnixTime};
use portcullis_testkit::TestClock;
use tokio::task::yield_now;

use crate::{
    Collection, Events, Expected, Lease, LeaseOutcome, Position, RecordKey, Row, Store, StoreError, StoreFuture,
    StoredRow, Swap, Version,
};

/// A flaw of a store.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Flaw {
    WritesLate,
    RemovesLate,
    ComparesNothing,
    CreatesOverRows,
    KeepsTheVersion,
    CountsAnew,
    RemovesUnseen,
    EndsAtZero,
    ShortensLong,
    FoldsCase,
    OneCollection,
    SweepsAllCollections,
    CountsWrites,
    RepeatsOnPages,
    PagesTheExpired,
    ForgetsExpiry,
    KeepsTheExpiry,
    ExpiryBlocks,
    ReplacesTheExpired,
    ExpiryLoses,
    KeepsTheExpired,
    HidesTheExpired,
    ListsTheUnconfirmed,
    SweepsTheUnconfirmed,
    ExpiredOnce,
    ExpiredByKey,
    ExpiredWithoutLimit,
    NextByKey,
    NextAreExpired,
    NextWithoutLimit,
    SweepsAll,
    SweepsNothing,
    SweepsSome,
    SharesLeases,
    LeasesForEver,
    LeasesAhead,
    LeasesNearby,
    NeverAbandoned,
    AlwaysAbandoned,
    FencesAnew,
    RenewsNothing,
    AnyLease,
    NoFence,
    TimeFences,
    KeepsLeases,
    ConflictReleases,
    LeasesLock,
    BeginsWithAnEvent,
    RepeatsEvents,
    ReversesEvents,
    MergesEvents,
    DropsEvents,
    NeverWakes,
    NeverDrops,
    DropsInSilence,
    DropsEarly,
    TrustsPositions,
}

type Rows = BTreeMap<RecordKey, StoredRow>;

/// The simplest store there is, with one flaw at most.
#[derive(Debug)]
pub(super) struct Flawed {
    flaw: Option<Flaw>,
    clock: TestClock,
    rows: Mutex<Rows>,
    listed: Mutex<Vec<RecordKey>>,
    leases: Mutex<BTreeMap<RecordKey, (u64, UnixTime)>>,
    counter: Mutex<u64>,
    events: Mutex<Vec<(u64, Bytes)>>,
    last_event: Mutex<u64>,
}

impl Flawed {
    pub(super) fn new(flaw: Option<Flaw>, clock: TestClock) -> Self {
        let begins_with = u64::from(flaw == Some(Flaw::BeginsWithAnEvent));
        Self {
            flaw,
            clock,
            rows: Mutex::default(),
            listed: Mutex::default(),
            leases: Mutex::default(),
            counter: Mutex::default(),
            events: Mutex::new((0..begins_with).map(|_| (1, Bytes::new())).collect()),
            last_event: Mutex::new(begins_with),
        }
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap()
    }

    fn next_number(&self) -> u64 {
        let mut counter = self.counter.lock().unwrap();
        *counter += 1;
        *counter
    }

    fn key(&self, key: RecordKey) -> RecordKey {
        if self.has(Flaw::FoldsCase) {
            RecordKey::new(key.collection(), key.as_bytes().map(|byte| byte.to_ascii_lowercase()))
        } else if self.has(Flaw::OneCollection) {
            RecordKey::new(Collection::new(201, "first"), *key.as_bytes())
        } else {
            key
        }
    }

    fn is_expired(&self, stored: &StoredRow) -> bool {
        stored.row.expires_at <= self.clock.now()
    }

    fn is_as_expected(&self, key: RecordKey, expected: Expected) -> bool {
        let rows = self.rows();
        match (rows.get(&key), expected) {
            (None, expected) => expected == Expected::Absent,
            (Some(stored), Expected::Absent) => {
                self.has(Flaw::CreatesOverRows) || (self.is_expired(stored) && !self.has(Flaw::ExpiryBlocks))
            }
            (Some(_), _) if self.has(Flaw::ComparesNothing) => true,
            (Some(stored), Expected::Unexpired(version)) => {
                stored.version == version && (!self.is_expired(stored) || self.has(Flaw::ReplacesTheExpired))
            }
            (Some(stored), Expected::EvenExpired(version)) => {
                stored.version == version && !(self.is_expired(stored) && self.has(Flaw::ExpiryLoses))
            }
        }
    }

    /// What the store makes of a row that is written over `before`.
    fn distort(&self, mut row: Row, before: Option<&StoredRow>) -> Row {
        if self.has(Flaw::EndsAtZero) {
            let end = row.sealed.iter().position(|byte| *byte == 0).unwrap_or(row.sealed.len());
            row.sealed.truncate(end);
        }
        if self.has(Flaw::ShortensLong) {
            row.sealed.truncate(1000);
        }
        if self.has(Flaw::ForgetsExpiry) {
            row.expires_at = UnixTime::MAX;
        }
        if let Some(before) = before
            && self.has(Flaw::KeepsTheExpiry)
        {
            row.expires_at = before.row.expires_at;
        }
        row
    }

    async fn swap(&self, key: RecordKey, expected: Expected, row: Row, lease: Option<Lease>) -> Swap {
        if lease.is_some_and(|lease| !self.is_held(key, lease)) && !self.has(Flaw::NoFence) {
            return Swap::Fenced;
        }
        if lease.is_none() && self.has(Flaw::LeasesLock) && self.leases.lock().unwrap().contains_key(&key) {
            return Swap::Fenced;
        }
        let is_as_expected = self.is_as_expected(key, expected);
        if self.has(Flaw::WritesLate) {
            yield_now().await;
        }
        if let Some(lease) = lease
            && (is_as_expected || self.has(Flaw::ConflictReleases))
            && !self.has(Flaw::KeepsLeases)
        {
            self.release_held(key, lease);
        }
        if !is_as_expected {
            return Swap::Conflict;
        }
        let before = self.rows().get(&key).cloned();
        let row = self.distort(row, before.as_ref());
        let before = before.map_or(0, |before| before.version.number());
        let version = Version::new(match self.flaw {
            Some(Flaw::CountsAnew) => before + 1,
            Some(Flaw::KeepsTheVersion) if before > 0 => before,
            _ => self.next_number(),
        });
        self.rows().insert(key, StoredRow::new(version, row));
        Swap::Written(version)
    }

    fn is_held(&self, key: RecordKey, lease: Lease) -> bool {
        let (fence, until) = self.leases.lock().unwrap().get(&key).copied().unwrap_or_default();
        let is_known = fence == lease.fence || (fence != 0 && self.has(Flaw::AnyLease));
        is_known && (!self.has(Flaw::TimeFences) || self.clock.now() < until)
    }

    fn release_held(&self, key: RecordKey, lease: Lease) {
        if self.is_held(key, lease) {
            self.leases.lock().unwrap().remove(&key);
        }
    }

    fn acquire(&self, key: RecordKey, ttl: Duration) -> LeaseOutcome {
        let mut leases = self.leases.lock().unwrap();
        let (now, before) = (self.clock.now(), leases.get(&key).copied());
        let far = match self.flaw {
            Some(Flaw::LeasesAhead) => UnixTime::MAX,
            Some(Flaw::LeasesNearby) => now + ttl,
            _ => now + ttl + ttl,
        };
        let runs = before.is_some_and(|(_, until)| (now < until && until <= far) || self.has(Flaw::LeasesForEver));
        if runs && !self.has(Flaw::SharesLeases) {
            return LeaseOutcome::Held;
        }
        let anew = before.map_or(1, |(fence, _)| fence + 1);
        let fence = if self.has(Flaw::FencesAnew) { anew } else { self.next_number() };
        leases.insert(key, (fence, now + ttl));
        let after_abandoned = match self.flaw {
            Some(Flaw::NeverAbandoned) => false,
            Some(Flaw::AlwaysAbandoned) => true,
            _ => before.is_some(),
        };
        LeaseOutcome::Acquired(Lease::new(fence, after_abandoned))
    }

    /// The rows of a collection, expired or not, in the order of their expiry.
    fn by_expiry(&self, collection: Collection, are_expired: bool, by_key: Flaw) -> Vec<(RecordKey, StoredRow)> {
        let rows = self.rows();
        let of_collection = rows.iter().filter(|(key, _)| key.collection() == self.collection(collection));
        let wanted = of_collection.filter(|(_, stored)| self.is_expired(stored) == are_expired);
        let mut wanted: Vec<_> = wanted.map(|(key, stored)| (*key, stored.clone())).collect();
        if !self.has(by_key) {
            wanted.sort_by_key(|(_, stored)| stored.row.expires_at);
        }
        wanted
    }

    fn collection(&self, collection: Collection) -> Collection {
        self.key(RecordKey::new(collection, [0; 32])).collection()
    }
}

fn done<'a, T: Send + 'a>(value: T) -> StoreFuture<'a, T> {
    Box::pin(ready(Ok::<_, StoreError>(value)))
}

impl Store for Flawed {
    fn load(&self, key: RecordKey) -> StoreFuture<'_, Option<StoredRow>> {
        done(self.rows().get(&self.key(key)).filter(|stored| !self.is_expired(stored)).cloned())
    }

    fn load_even_expired(&self, key: RecordKey) -> StoreFuture<'_, Option<StoredRow>> {
        let hides = self.has(Flaw::HidesTheExpired);
        done(self.rows().get(&self.key(key)).filter(|stored| !(hides && self.is_expired(stored))).cloned())
    }

    fn compare_and_swap(
        &self,
        key: RecordKey,
        expected: Expected,
        new: Row,
        lease: Option<Lease>,
    ) -> StoreFuture<'_, Swap> {
        Box::pin(async move { Ok(self.swap(self.key(key), expected, new, lease).await) })
    }

    fn compare_and_remove(&self, key: RecordKey, expected: Version) -> StoreFuture<'_, bool> {
        Box::pin(async move {
            let key = self.key(key);
            let is_seen = self.rows().get(&key).is_some_and(|stored| {
                let is_kept = self.is_expired(stored) && self.has(Flaw::KeepsTheExpired);
                (stored.version == expected || self.has(Flaw::RemovesUnseen)) && !is_kept
            });
            if self.has(Flaw::RemovesLate) {
                yield_now().await;
            }
            let is_removed = is_seen && self.rows().remove(&key).is_some();
            Ok(is_removed || (is_seen && self.has(Flaw::RemovesLate)))
        })
    }

    fn lease(&self, key: RecordKey, ttl: Duration) -> StoreFuture<'_, LeaseOutcome> {
        done(self.acquire(key, ttl))
    }

    fn renew(&self, key: RecordKey, lease: Lease, ttl: Duration) -> StoreFuture<'_, bool> {
        let is_held = self.is_held(key, lease);
        if is_held && !self.has(Flaw::RenewsNothing) {
            self.leases.lock().unwrap().insert(key, (lease.fence, self.clock.now() + ttl));
        }
        done(is_held)
    }

    fn release(&self, key: RecordKey, lease: Lease) -> StoreFuture<'_, ()> {
        self.release_held(key, lease);
        done(())
    }

    fn expired(
        &self,
        collection: Collection,
        confirmed: UnixTime,
        limit: usize,
    ) -> StoreFuture<'_, Vec<(RecordKey, StoredRow)>> {
        let mut rows = self.by_expiry(collection, true, Flaw::ExpiredByKey);
        rows.retain(|(_, stored)| stored.row.expires_at <= confirmed || self.has(Flaw::ListsTheUnconfirmed));
        if !self.has(Flaw::ExpiredWithoutLimit) {
            rows.truncate(limit);
        }
        if self.has(Flaw::ExpiredOnce) {
            let mut listed = self.listed.lock().unwrap();
            rows.retain(|(key, _)| !listed.contains(key));
            listed.extend(rows.iter().map(|(key, _)| *key));
        }
        done(rows)
    }

    fn next_to_expire(&self, collection: Collection, limit: usize) -> StoreFuture<'_, Vec<(RecordKey, StoredRow)>> {
        let mut rows = self.by_expiry(collection, self.has(Flaw::NextAreExpired), Flaw::NextByKey);
        if !self.has(Flaw::NextWithoutLimit) {
            rows.truncate(limit);
        }
        done(rows)
    }

    fn sweep(&self, collection: Collection, confirmed: UnixTime) -> StoreFuture<'_, u64> {
        let mut rows = self.rows();
        let before = rows.len();
        let mut left = if self.has(Flaw::SweepsSome) { 100 } else { usize::MAX };
        rows.retain(|key, stored| {
            let is_meant = key.collection() == self.collection(collection) || self.has(Flaw::SweepsAllCollections);
            let is_swept = match self.flaw {
                Some(Flaw::SweepsNothing) => false,
                Some(Flaw::SweepsAll) => true,
                Some(Flaw::SweepsTheUnconfirmed) => self.is_expired(stored),
                _ => self.is_expired(stored) && stored.row.expires_at <= confirmed,
            };
            let goes = is_meant && is_swept && left > 0;
            left -= usize::from(goes);
            !goes
        });
        done((before - rows.len()) as u64)
    }

    fn count(&self, collection: Collection) -> StoreFuture<'_, u64> {
        if self.has(Flaw::CountsWrites) {
            return done(*self.counter.lock().unwrap());
        }
        done(self.rows().keys().filter(|key| key.collection() == self.collection(collection)).count() as u64)
    }

    fn page(
        &self,
        collection: Collection,
        after: Option<RecordKey>,
        limit: usize,
    ) -> StoreFuture<'_, Vec<(RecordKey, StoredRow)>> {
        let rows = self.rows();
        let repeats = self.has(Flaw::RepeatsOnPages);
        let follows = |key: RecordKey| after.is_none_or(|after| key > after || (repeats && key == after && limit == 7));
        let page = rows.iter().filter(|(key, stored)| {
            let is_shown = !self.is_expired(stored) || self.has(Flaw::PagesTheExpired);
            key.collection() == self.collection(collection) && follows(**key) && is_shown
        });
        done(page.take(limit).map(|(key, stored)| (*key, stored.clone())).collect())
    }

    fn append_event(&self, event: Bytes) -> StoreFuture<'_, Position> {
        let (mut events, mut last) = (self.events.lock().unwrap(), self.last_event.lock().unwrap());
        *last += 1;
        let is_dropped = self.has(Flaw::DropsEvents) && last.is_multiple_of(7);
        let is_merged = self.has(Flaw::MergesEvents) && events.last().is_some_and(|(_, before)| *before == event);
        if !is_dropped && !is_merged {
            events.push((*last, event));
        }
        let bound = match self.flaw {
            Some(Flaw::NeverDrops) => usize::MAX,
            Some(Flaw::DropsEarly) => 900,
            _ => 1500,
        };
        if events.len() > bound {
            events.remove(0);
        }
        done(Position::new(*last))
    }

    fn events_after(&self, after: Position, limit: usize) -> StoreFuture<'_, Events> {
        let (events, last) = (self.events.lock().unwrap(), *self.last_event.lock().unwrap());
        let first = events.first().map_or(last, |(first, _)| first - 1);
        let is_ahead = after.number() > last;
        let has_gap = (after.number() < first && !self.has(Flaw::DropsInSilence))
            || (is_ahead && !self.has(Flaw::TrustsPositions));
        let repeated = u64::from(self.has(Flaw::RepeatsEvents));
        let start = if is_ahead && has_gap { first } else { after.number() };
        let read = events.iter().filter(|(position, _)| *position + repeated > start).take(limit);
        let (positions, mut read): (Vec<_>, Vec<_>) = read.cloned().unzip();
        if self.has(Flaw::ReversesEvents) {
            read.reverse();
        }
        let position = Position::new(positions.last().copied().unwrap_or(start));
        done(Events::new(read, position, has_gap))
    }

    fn last_position(&self) -> StoreFuture<'_, Position> {
        done(Position::new(*self.last_event.lock().unwrap()))
    }

    fn wait_for_events(&self, after: Position) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            while *self.last_event.lock().unwrap() == after.number() || self.has(Flaw::NeverWakes) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Ok(())
        })
    }

    fn is_durable(&self) -> bool {
        false
    }
}
