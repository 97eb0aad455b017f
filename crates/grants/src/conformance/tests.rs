//! The suite itself: a store that is right passes, and each that is wrong in one way is found out.

use std::{
    collections::BTreeMap,
    future::ready,
    sync::{Arc, Mutex},
    time::Duration,
};

use portcullis_core::{Clock, GrantId, UnixTime};
use portcullis_testkit::TestClock;
use tokio::task::yield_now;

use super::{Subject, SubjectFuture, check};
use crate::{
    Lease, LeaseOutcome, MemoryStore, SealedGrant, StoreError, StoreFuture, StoredRow, Swap, TokenStore, Version,
};

struct Judged<F>(TestClock, F);

impl<F: Fn(TestClock) -> Arc<dyn TokenStore> + Sync> Subject for Judged<F> {
    fn fresh(&self) -> SubjectFuture<'_, Vec<Arc<dyn TokenStore>>> {
        Box::pin(ready(vec![(self.1)(self.0.clone())]))
    }

    fn clock(&self) -> &dyn Clock {
        &self.0
    }

    fn advance(&self, by: Duration) -> SubjectFuture<'_, ()> {
        self.0.advance(by);
        Box::pin(ready(()))
    }

    fn put_back(&self, by: Duration) -> SubjectFuture<'_, bool> {
        self.0.step_back(by);
        Box::pin(ready(true))
    }
}

#[tokio::test(start_paused = true)]
async fn the_store_in_memory_keeps_every_rule() {
    let subject = Judged(TestClock::new(), |clock| Arc::new(MemoryStore::new(Arc::new(clock))) as _);
    check(&subject).await.expect("no violation");
}

#[tokio::test(start_paused = true)]
async fn a_store_without_a_flaw_passes() {
    let subject = Judged(TestClock::new(), |clock| Arc::new(Flawed::new(Flaw::None, clock)) as _);
    check(&subject).await.expect("no violation: the flaws below are what is found");
}

#[tokio::test(start_paused = true)]
async fn every_flaw_is_found_by_the_rule_for_it() {
    for (flaw, rule) in [
        (Flaw::WritesLate, "one_of_many_writes_wins"),
        (Flaw::WritesLate, "one_of_many_creations_wins"),
        (Flaw::WritesLate, "no_increment_is_lost"),
        (Flaw::ComparesNothing, "a_write_needs_the_version_that_is_there"),
        (Flaw::CreatesOverRows, "nothing_is_created_over_a_row"),
        (Flaw::KeepsTheVersion, "versions_grow_with_every_write"),
        (Flaw::CountsAnew, "no_version_comes_back"),
        (Flaw::CountsAnew, "no_version_comes_back_after_a_sweep"),
        (Flaw::RemovesUnseen, "only_what_was_seen_is_removed"),
        (Flaw::EndsAtZero, "what_is_written_is_read_back"),
        (Flaw::FoldsCase, "similar_ids_are_different_rows"),
        (Flaw::ForgetsExpiry, "a_row_is_there_until_its_time_is_over"),
        (Flaw::ExpiryBlocks, "a_row_whose_time_is_over_makes_room"),
        (Flaw::ExpiryLoses, "a_row_whose_time_is_over_can_still_be_written"),
        (Flaw::SweepsAll, "a_sweep_takes_what_is_over_and_nothing_else"),
        (Flaw::SweepsNothing, "a_sweep_takes_what_is_over_and_nothing_else"),
        (Flaw::RepeatsOnPages, "pages_show_every_row_once_and_in_order"),
        (Flaw::SharesLeases, "a_lease_is_held_by_one"),
        (Flaw::SharesLeases, "one_of_many_gets_the_lease"),
        (Flaw::LeasesForEver, "a_lease_runs_out_and_is_abandoned"),
        (Flaw::LeasesAhead, "a_lease_does_not_outlast_a_clock_that_is_put_back"),
        (Flaw::LeasesNearby, "a_lease_does_not_outlast_a_clock_that_is_put_back"),
        (Flaw::NeverAbandoned, "a_lease_runs_out_and_is_abandoned"),
        (Flaw::AlwaysAbandoned, "a_lease_that_was_given_back_is_not_abandoned"),
        (Flaw::FencesAnew, "fences_grow_whatever_happens"),
        (Flaw::RenewsNothing, "a_lease_is_prolonged_by_who_has_it"),
        (Flaw::AnybodysLease, "a_lease_is_given_back_by_who_has_it"),
        (Flaw::AnybodysLease, "a_late_write_is_refused"),
        (Flaw::NoFence, "a_late_write_is_refused"),
        (Flaw::NoFence, "a_write_under_a_lease_that_was_given_back_is_refused"),
        (Flaw::TimeFences, "an_expired_lease_that_was_not_taken_over_stays_valid"),
        (Flaw::KeepsLeases, "a_write_gives_its_lease_back"),
        (Flaw::ConflictReleases, "a_refused_write_keeps_its_lease"),
        (Flaw::LeasesLock, "a_write_without_a_lease_needs_none"),
    ] {
        let subject = Judged(TestClock::new(), |clock| Arc::new(Flawed::new(flaw, clock)) as _);
        let violations = check(&subject).await.expect_err("a flaw").0;
        let rules: Vec<_> = violations.iter().map(|violation| violation.rule).collect();
        assert!(rules.contains(&rule), "{flaw:?}: {rules:?} and not {rule}");
    }
}

/// What is wrong with a store.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Flaw {
    None,
    WritesLate,
    ComparesNothing,
    CreatesOverRows,
    KeepsTheVersion,
    CountsAnew,
    RemovesUnseen,
    EndsAtZero,
    FoldsCase,
    ForgetsExpiry,
    ExpiryBlocks,
    ExpiryLoses,
    SweepsAll,
    SweepsNothing,
    RepeatsOnPages,
    SharesLeases,
    LeasesForEver,
    LeasesAhead,
    LeasesNearby,
    NeverAbandoned,
    AlwaysAbandoned,
    FencesAnew,
    RenewsNothing,
    AnybodysLease,
    NoFence,
    TimeFences,
    KeepsLeases,
    ConflictReleases,
    LeasesLock,
}

/// The plainest store there is, with one flaw.
#[derive(Debug)]
struct Flawed {
    flaw: Flaw,
    clock: TestClock,
    rows: Mutex<BTreeMap<GrantId, StoredRow>>,
    leases: Mutex<BTreeMap<GrantId, (u64, UnixTime)>>,
    counter: Mutex<u64>,
}

impl Flawed {
    fn new(flaw: Flaw, clock: TestClock) -> Self {
        Self { flaw, clock, rows: Mutex::default(), leases: Mutex::default(), counter: Mutex::default() }
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    fn count(&self) -> u64 {
        let mut counter = self.counter.lock().unwrap();
        *counter += 1;
        *counter
    }

    fn id(&self, id: GrantId) -> GrantId {
        if self.has(Flaw::FoldsCase) { GrantId::from_bytes(id.as_bytes().map(|b| b.to_ascii_lowercase())) } else { id }
    }

    fn is_over(&self, row: &StoredRow) -> bool {
        row.grant.expires_at.is_some_and(|at| at <= self.clock.now())
    }

    fn is_ours(&self, id: GrantId, lease: Lease) -> bool {
        let leases = self.leases.lock().unwrap();
        let (fence, until) = leases.get(&id).copied().unwrap_or_default();
        let known = fence == lease.fence || (fence != 0 && self.has(Flaw::AnybodysLease));
        known && (!self.has(Flaw::TimeFences) || self.clock.now() < until)
    }

    fn release_ours(&self, id: GrantId, lease: Lease) {
        if self.is_ours(id, lease) {
            self.leases.lock().unwrap().remove(&id);
        }
    }

    fn is_expected(&self, id: GrantId, expected: Option<Version>) -> bool {
        let rows = self.rows.lock().unwrap();
        match (rows.get(&id), expected) {
            (Some(_), Some(_)) if self.has(Flaw::ComparesNothing) => true,
            (Some(row), Some(_)) if self.has(Flaw::ExpiryLoses) && self.is_over(row) => false,
            (Some(row), Some(expected)) => row.version == expected,
            (Some(row), None) => {
                self.has(Flaw::CreatesOverRows) || (self.is_over(row) && !self.has(Flaw::ExpiryBlocks))
            }
            (None, expected) => expected.is_none(),
        }
    }

    async fn swap(&self, id: GrantId, expected: Option<Version>, mut new: SealedGrant, lease: Option<Lease>) -> Swap {
        if lease.is_some_and(|lease| !self.is_ours(id, lease)) && !self.has(Flaw::NoFence) {
            return Swap::Fenced;
        }
        if lease.is_none() && self.has(Flaw::LeasesLock) && self.leases.lock().unwrap().contains_key(&id) {
            return Swap::Fenced;
        }
        let is_expected = self.is_expected(id, expected);
        if self.has(Flaw::WritesLate) {
            yield_now().await;
        }
        if let Some(lease) = lease
            && (is_expected || self.has(Flaw::ConflictReleases))
            && !self.has(Flaw::KeepsLeases)
        {
            self.release_ours(id, lease);
        }
        if !is_expected {
            return Swap::Conflict;
        }
        if self.has(Flaw::EndsAtZero) {
            let end = new.sealed.iter().position(|byte| *byte == 0).unwrap_or(new.sealed.len());
            new.sealed.truncate(end);
        }
        if self.has(Flaw::ForgetsExpiry) {
            new.expires_at = None;
        }
        let before = self.rows.lock().unwrap().get(&id).map_or(0, |row| row.version.number());
        let version = Version::new(match self.flaw {
            Flaw::CountsAnew => before + 1,
            Flaw::KeepsTheVersion if before > 0 => before,
            _ => self.count(),
        });
        self.rows.lock().unwrap().insert(id, StoredRow::new(version, new));
        Swap::Written(version)
    }

    fn acquire(&self, id: GrantId, ttl: Duration) -> LeaseOutcome {
        let mut leases = self.leases.lock().unwrap();
        let (now, before) = (self.clock.now(), leases.get(&id).copied());
        let far = match self.flaw {
            Flaw::LeasesAhead => UnixTime::MAX,
            Flaw::LeasesNearby => now + ttl,
            _ => now + ttl + ttl,
        };
        let runs = before.is_some_and(|(_, until)| (now < until && until <= far) || self.has(Flaw::LeasesForEver));
        if runs && !self.has(Flaw::SharesLeases) {
            return LeaseOutcome::Held;
        }
        let fence = if self.has(Flaw::FencesAnew) { before.map_or(1, |(fence, _)| fence + 1) } else { self.count() };
        leases.insert(id, (fence, now + ttl));
        let abandoned = match self.flaw {
            Flaw::NeverAbandoned => false,
            Flaw::AlwaysAbandoned => true,
            _ => before.is_some(),
        };
        LeaseOutcome::Acquired(Lease::new(fence, abandoned))
    }
}

fn done<'a, T: Send + 'a>(value: T) -> StoreFuture<'a, T> {
    Box::pin(ready(Ok::<_, StoreError>(value)))
}

impl TokenStore for Flawed {
    fn load(&self, id: GrantId) -> StoreFuture<'_, Option<StoredRow>> {
        done(self.rows.lock().unwrap().get(&self.id(id)).filter(|row| !self.is_over(row)).cloned())
    }

    fn compare_and_swap(
        &self,
        id: GrantId,
        expected: Option<Version>,
        new: SealedGrant,
        lease: Option<Lease>,
    ) -> StoreFuture<'_, Swap> {
        Box::pin(async move { Ok(self.swap(self.id(id), expected, new, lease).await) })
    }

    fn compare_and_remove(&self, id: GrantId, expected: Version) -> StoreFuture<'_, bool> {
        let mut rows = self.rows.lock().unwrap();
        let seen = rows.get(&id).is_some_and(|row| row.version == expected || self.has(Flaw::RemovesUnseen));
        done(seen && rows.remove(&id).is_some())
    }

    fn lease(&self, id: GrantId, ttl: Duration) -> StoreFuture<'_, LeaseOutcome> {
        done(self.acquire(id, ttl))
    }

    fn renew(&self, id: GrantId, lease: Lease, ttl: Duration) -> StoreFuture<'_, bool> {
        let ours = self.is_ours(id, lease);
        if ours && !self.has(Flaw::RenewsNothing) {
            self.leases.lock().unwrap().insert(id, (lease.fence, self.clock.now() + ttl));
        }
        done(ours)
    }

    fn release(&self, id: GrantId, lease: Lease) -> StoreFuture<'_, ()> {
        self.release_ours(id, lease);
        done(())
    }

    fn sweep(&self) -> StoreFuture<'_, u64> {
        let mut rows = self.rows.lock().unwrap();
        let before = rows.len();
        match self.flaw {
            Flaw::SweepsNothing => {}
            Flaw::SweepsAll => rows.clear(),
            _ => rows.retain(|_, row| !self.is_over(row)),
        }
        done((before - rows.len()) as u64)
    }

    fn page(&self, after: Option<GrantId>, limit: usize) -> StoreFuture<'_, Vec<(GrantId, StoredRow)>> {
        let rows = self.rows.lock().unwrap();
        let repeats = self.has(Flaw::RepeatsOnPages);
        let follows = |id: GrantId| after.is_none_or(|after| id > after || (repeats && id == after && limit == 7));
        let alive = rows.iter().filter(|(id, row)| follows(**id) && !self.is_over(row));
        done(alive.take(limit).map(|(id, row)| (*id, row.clone())).collect())
    }

    fn is_durable(&self) -> bool {
        false
    }
}
