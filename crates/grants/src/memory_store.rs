//! [`MemoryStore`]: grants for as long as the process lives.

use std::{
    collections::BTreeMap,
    fmt,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use portcullis_core::{Clock, GrantId, UnixTime};

use crate::{Lease, LeaseOutcome, SealedGrant, StoreFuture, StoredRow, Swap, TokenStore, Version};

/// A store in the memory of this process: not durable, not shared with other processes. Clones are the same store.
///
/// It is as large as the grants that are in it. Rows whose time is over are swept when it has doubled in size, so that it
/// stays within twice what is alive, whether somebody [sweeps](TokenStore::sweep) it or not.
#[derive(Clone)]
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    rows: BTreeMap<GrantId, StoredRow>,
    /// Those that were not given back.
    leases: BTreeMap<GrantId, Held>,
    /// The highest version there has been.
    version: u64,
    /// The highest fence there has been.
    fence: u64,
    /// How many rows and leases there may be before it is swept.
    roomy: usize,
}

struct Held {
    fence: u64,
    until: UnixTime,
}

/// It is not swept for fewer.
const FEW: usize = 64;

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Arc::new(Mutex::new(State { roomy: FEW, ..State::default() })) }
    }

    /// What is done under the lock neither waits nor panics half-way.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn swap(
        &mut self,
        id: GrantId,
        expected: Option<Version>,
        new: SealedGrant,
        lease: Option<Lease>,
        now: UnixTime,
    ) -> Swap {
        if lease.is_some_and(|lease| !self.holds(id, lease)) {
            return Swap::Fenced;
        }
        let as_expected = match (self.rows.get(&id), expected) {
            (Some(row), Some(expected)) => row.version == expected,
            (Some(row), None) => is_over(row, now),
            (None, expected) => expected.is_none(),
        };
        if !as_expected {
            return Swap::Conflict;
        }
        if let Some(lease) = lease {
            self.release(id, lease);
        }
        self.version += 1;
        let version = Version::new(self.version);
        self.rows.insert(id, StoredRow::new(version, new));
        self.make_room(now);
        Swap::Written(version)
    }

    fn remove(&mut self, id: GrantId, expected: Version) -> bool {
        let as_expected = self.rows.get(&id).is_some_and(|row| row.version == expected);
        if as_expected {
            self.rows.remove(&id);
        }
        as_expected
    }

    fn lease(&mut self, id: GrantId, ttl: Duration, now: UnixTime) -> LeaseOutcome {
        let before = self.leases.get(&id);
        // One that ends later than anybody asks for is of a time when the clock was ahead.
        if before.is_some_and(|held| now < held.until && held.until <= now + ttl + ttl) {
            return LeaseOutcome::Held;
        }
        let after_abandoned = before.is_some();
        self.fence += 1;
        self.leases.insert(id, Held { fence: self.fence, until: now + ttl });
        self.make_room(now);
        LeaseOutcome::Acquired(Lease::new(self.fence, after_abandoned))
    }

    fn holds(&self, id: GrantId, lease: Lease) -> bool {
        self.leases.get(&id).is_some_and(|held| held.fence == lease.fence)
    }

    fn renew(&mut self, id: GrantId, lease: Lease, until: UnixTime) -> bool {
        let ours = self.leases.get_mut(&id).filter(|held| held.fence == lease.fence);
        ours.map(|held| held.until = until).is_some()
    }

    fn release(&mut self, id: GrantId, lease: Lease) {
        if self.holds(id, lease) {
            self.leases.remove(&id);
        }
    }

    fn make_room(&mut self, now: UnixTime) {
        if self.rows.len() + self.leases.len() > self.roomy {
            self.sweep(now);
        }
    }

    /// An abandoned lease is remembered for as long as there is something it may have spoilt.
    fn sweep(&mut self, now: UnixTime) -> u64 {
        let before = self.rows.len();
        self.rows.retain(|_, row| !is_over(row, now));
        self.leases.retain(|id, held| now < held.until || self.rows.contains_key(id));
        self.roomy = (2 * (self.rows.len() + self.leases.len())).max(FEW);
        (before - self.rows.len()) as u64
    }
}

fn is_over(row: &StoredRow, now: UnixTime) -> bool {
    row.grant.expires_at.is_some_and(|expires_at| expires_at <= now)
}

impl TokenStore for MemoryStore {
    fn load(&self, id: GrantId) -> StoreFuture<'_, Option<StoredRow>> {
        Box::pin(async move {
            let now = self.clock.now();
            Ok(self.state().rows.get(&id).filter(|row| !is_over(row, now)).cloned())
        })
    }

    fn compare_and_swap(
        &self,
        id: GrantId,
        expected: Option<Version>,
        new: SealedGrant,
        lease: Option<Lease>,
    ) -> StoreFuture<'_, Swap> {
        Box::pin(async move { Ok(self.state().swap(id, expected, new, lease, self.clock.now())) })
    }

    fn compare_and_remove(&self, id: GrantId, expected: Version) -> StoreFuture<'_, bool> {
        Box::pin(async move { Ok(self.state().remove(id, expected)) })
    }

    fn lease(&self, id: GrantId, ttl: Duration) -> StoreFuture<'_, LeaseOutcome> {
        Box::pin(async move { Ok(self.state().lease(id, ttl, self.clock.now())) })
    }

    fn renew(&self, id: GrantId, lease: Lease, ttl: Duration) -> StoreFuture<'_, bool> {
        Box::pin(async move { Ok(self.state().renew(id, lease, self.clock.now() + ttl)) })
    }

    fn release(&self, id: GrantId, lease: Lease) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.state().release(id, lease);
            Ok(())
        })
    }

    fn sweep(&self) -> StoreFuture<'_, u64> {
        Box::pin(async move { Ok(self.state().sweep(self.clock.now())) })
    }

    fn page(&self, after: Option<GrantId>, limit: usize) -> StoreFuture<'_, Vec<(GrantId, StoredRow)>> {
        Box::pin(async move {
            let (now, state) = (self.clock.now(), self.state());
            let rest = state.rows.range((after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded));
            let alive = rest.filter(|(_, row)| !is_over(row, now));
            Ok(alive.take(limit).map(|(id, row)| (*id, row.clone())).collect())
        })
    }

    fn is_durable(&self) -> bool {
        false
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("grants", &self.state().rows.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use portcullis_testkit::TestClock;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn expired_rows_do_not_accumulate_without_a_sweep() {
        let clock = TestClock::new();
        let store = MemoryStore::new(Arc::new(clock.clone()));
        for number in 0..10_000_u64 {
            let id = GrantId::from_bytes(u128::from(number).to_be_bytes());
            let grant = SealedGrant::new(Bytes::new(), Some(clock.now() + Duration::from_secs(10)));
            store.compare_and_swap(id, None, grant, None).await.expect("no failure");
            store.lease(GrantId::from_bytes([0xff; 16]), Duration::from_millis(1)).await.expect("no failure");
            clock.advance(Duration::from_secs(1));
        }
        let dead = store.sweep().await.expect("no failure");
        assert!(dead <= FEW as u64, "{dead} rows whose time is over, of ten that are alive at a time");
    }
}
