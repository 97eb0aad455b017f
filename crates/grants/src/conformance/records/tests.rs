//! The suite itself: a store that is right passes, and each that is wrong in one way is found out.

use std::{
    collections::BTreeMap,
    future::ready,
    sync::{Arc, Mutex},
    time::Duration,
};

use portcullis_core::{Clock, UnixTime};
use portcullis_testkit::TestClock;
use tokio::task::yield_now;

use super::{
    super::{Subject, SubjectFuture},
    check,
};
use crate::{
    StoreError, StoreFuture, Version,
    records::{Collection, MemoryRecords, RecordKey, RecordStore, SealedRecord, StoredRecord},
};

struct Judged<F>(TestClock, F);

impl<F: Fn(TestClock) -> Arc<dyn RecordStore> + Sync> Subject<dyn RecordStore> for Judged<F> {
    fn fresh(&self) -> SubjectFuture<'_, Vec<Arc<dyn RecordStore>>> {
        Box::pin(ready(vec![(self.1)(self.0.clone())]))
    }

    fn clock(&self) -> &dyn Clock {
        &self.0
    }

    fn advance(&self, by: Duration) -> SubjectFuture<'_, ()> {
        self.0.advance(by);
        Box::pin(ready(()))
    }
}

#[tokio::test(start_paused = true)]
async fn the_records_in_memory_keep_every_rule() {
    let subject = Judged(TestClock::new(), |clock| Arc::new(MemoryRecords::new(Arc::new(clock))) as _);
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
        (Flaw::RemovesLate, "one_of_many_removals_wins"),
        (Flaw::RemovesLate, "a_record_is_replaced_or_removed_and_not_both"),
        (Flaw::ComparesNothing, "a_write_needs_the_version_that_is_there"),
        (Flaw::CreatesOverRecords, "nothing_is_created_over_a_record"),
        (Flaw::KeepsTheVersion, "versions_grow_with_every_write"),
        (Flaw::CountsAnew, "no_version_comes_back"),
        (Flaw::CountsAnew, "no_version_comes_back_after_a_sweep"),
        (Flaw::RemovesUnseen, "only_what_was_seen_is_removed"),
        (Flaw::EndsAtZero, "what_is_written_is_read_back"),
        (Flaw::ShortensLong, "what_is_written_is_read_back"),
        (Flaw::FoldsCase, "similar_keys_are_different_records"),
        (Flaw::OneTable, "tables_do_not_see_each_other"),
        (Flaw::SweepsAllTables, "tables_do_not_see_each_other"),
        (Flaw::CountsWrites, "a_count_is_that_of_the_records"),
        (Flaw::RepeatsOnPages, "pages_show_every_record_once_and_in_order"),
        (Flaw::PagesTheExpired, "a_record_is_there_until_it_expires"),
        (Flaw::ForgetsExpiry, "a_record_is_there_until_it_expires"),
        (Flaw::KeepsTheExpiry, "what_is_written_last_says_when_a_record_expires"),
        (Flaw::ExpiryBlocks, "a_record_that_has_expired_makes_room"),
        (Flaw::ExpiryBlocks, "one_of_many_creations_wins"),
        (Flaw::ReplacesTheExpired, "a_record_that_has_expired_is_not_replaced"),
        (Flaw::KeepsTheExpired, "a_record_is_due_until_it_is_removed"),
        (Flaw::DueOnce, "a_record_is_due_until_it_is_removed"),
        (Flaw::DueByKey, "the_oldest_are_due_first"),
        (Flaw::DueWithoutLimit, "the_oldest_are_due_first"),
        (Flaw::SoonestByKey, "those_that_expire_soonest_are_known"),
        (Flaw::SoonestAreOver, "those_that_expire_soonest_are_known"),
        (Flaw::SoonestWithoutLimit, "those_that_expire_soonest_are_known"),
        (Flaw::SweepsAll, "a_sweep_takes_what_has_expired_and_nothing_else"),
        (Flaw::SweepsNothing, "a_sweep_takes_what_has_expired_and_nothing_else"),
        (Flaw::SweepsSome, "a_sweep_takes_many"),
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
    RemovesLate,
    ComparesNothing,
    CreatesOverRecords,
    KeepsTheVersion,
    CountsAnew,
    RemovesUnseen,
    EndsAtZero,
    ShortensLong,
    FoldsCase,
    OneTable,
    SweepsAllTables,
    CountsWrites,
    RepeatsOnPages,
    PagesTheExpired,
    ForgetsExpiry,
    KeepsTheExpiry,
    ExpiryBlocks,
    ReplacesTheExpired,
    KeepsTheExpired,
    DueOnce,
    DueByKey,
    DueWithoutLimit,
    SoonestByKey,
    SoonestAreOver,
    SoonestWithoutLimit,
    SweepsAll,
    SweepsNothing,
    SweepsSome,
}

/// The plainest store there is, with one flaw.
#[derive(Debug)]
struct Flawed {
    flaw: Flaw,
    clock: TestClock,
    rows: Mutex<BTreeMap<RecordKey, StoredRecord>>,
    written: Mutex<u64>,
}

impl Flawed {
    fn new(flaw: Flaw, clock: TestClock) -> Self {
        Self { flaw, clock, rows: Mutex::default(), written: Mutex::default() }
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    fn key(&self, key: RecordKey) -> RecordKey {
        match self.flaw {
            Flaw::FoldsCase => RecordKey::new(key.table(), key.as_bytes().map(|byte| byte.to_ascii_lowercase())),
            Flaw::OneTable => RecordKey::new(Collection::CLIENTS, *key.as_bytes()),
            _ => key,
        }
    }

    fn is_over(&self, row: &StoredRecord) -> bool {
        row.record.expires_at <= self.clock.now()
    }

    fn is_expected(&self, key: RecordKey, expected: Option<Version>) -> bool {
        let rows = self.rows.lock().unwrap();
        match (rows.get(&key), expected) {
            (Some(_), Some(_)) if self.has(Flaw::ComparesNothing) => true,
            (Some(row), Some(expected)) => {
                row.version == expected && (!self.is_over(row) || self.has(Flaw::ReplacesTheExpired))
            }
            (Some(row), None) => {
                self.has(Flaw::CreatesOverRecords) || (self.is_over(row) && !self.has(Flaw::ExpiryBlocks))
            }
            (None, expected) => expected.is_none(),
        }
    }

    async fn swap(&self, key: RecordKey, expected: Option<Version>, mut new: SealedRecord) -> Option<Version> {
        let is_expected = self.is_expected(key, expected);
        if self.has(Flaw::WritesLate) {
            yield_now().await;
        }
        if !is_expected {
            return None;
        }
        let end = match self.flaw {
            Flaw::EndsAtZero => new.sealed.iter().position(|byte| *byte == 0).unwrap_or(new.sealed.len()),
            Flaw::ShortensLong => 4096,
            _ => new.sealed.len(),
        };
        new.sealed.truncate(end);
        let mut rows = self.rows.lock().unwrap();
        let before = rows.get(&key);
        if self.has(Flaw::ForgetsExpiry) {
            new.expires_at = UnixTime::MAX;
        }
        if let Some(before) = before.filter(|_| self.has(Flaw::KeepsTheExpiry)) {
            new.expires_at = before.record.expires_at;
        }
        let before = before.map_or(0, |row| row.version.number());
        let mut written = self.written.lock().unwrap();
        *written += 1;
        let version = Version::new(match self.flaw {
            Flaw::CountsAnew => before + 1,
            Flaw::KeepsTheVersion if before > 0 => before,
            _ => *written,
        });
        rows.insert(key, StoredRecord::new(version, new));
        Some(version)
    }

    async fn remove(&self, key: RecordKey, expected: Version) -> bool {
        let is_seen = |row: &StoredRecord| {
            (row.version == expected || self.has(Flaw::RemovesUnseen))
                && !(self.has(Flaw::KeepsTheExpired) && self.is_over(row))
        };
        let seen = self.rows.lock().unwrap().get(&key).is_some_and(is_seen);
        if self.has(Flaw::RemovesLate) {
            yield_now().await;
        }
        if seen {
            self.rows.lock().unwrap().remove(&key);
        }
        seen
    }

    /// The rows of a table, in the order of their keys.
    fn of(&self, table: Collection) -> Vec<(RecordKey, StoredRecord)> {
        let rows = self.rows.lock().unwrap();
        let of_table = rows.iter().filter(|(key, _)| key.table() == table || self.has(Flaw::OneTable));
        of_table.map(|(key, row)| (*key, row.clone())).collect()
    }
}

fn done<'a, T: Send + 'a>(value: T) -> StoreFuture<'a, T> {
    Box::pin(ready(Ok::<_, StoreError>(value)))
}

impl RecordStore for Flawed {
    fn load(&self, key: RecordKey) -> StoreFuture<'_, Option<StoredRecord>> {
        done(self.rows.lock().unwrap().get(&self.key(key)).filter(|row| !self.is_over(row)).cloned())
    }

    fn compare_and_swap(
        &self,
        key: RecordKey,
        expected: Option<Version>,
        new: SealedRecord,
    ) -> StoreFuture<'_, Option<Version>> {
        Box::pin(async move { Ok(self.swap(self.key(key), expected, new).await) })
    }

    fn compare_and_remove(&self, key: RecordKey, expected: Version) -> StoreFuture<'_, bool> {
        Box::pin(async move { Ok(self.remove(self.key(key), expected).await) })
    }

    fn expired(&self, table: Collection, limit: usize) -> StoreFuture<'_, Vec<(RecordKey, StoredRecord)>> {
        let mut due = self.of(table);
        due.retain(|(_, row)| self.is_over(row));
        if !self.has(Flaw::DueByKey) {
            due.sort_by_key(|(_, row)| row.record.expires_at);
        }
        due.truncate(if self.has(Flaw::DueWithoutLimit) { usize::MAX } else { limit });
        if self.has(Flaw::DueOnce) {
            due.iter().for_each(|(key, _)| drop(self.rows.lock().unwrap().remove(key)));
        }
        done(due)
    }

    fn next_to_expire(&self, table: Collection, limit: usize) -> StoreFuture<'_, Vec<(RecordKey, StoredRecord)>> {
        let mut soonest = self.of(table);
        soonest.retain(|(_, row)| !self.is_over(row) || self.has(Flaw::SoonestAreOver));
        if !self.has(Flaw::SoonestByKey) {
            soonest.sort_by_key(|(_, row)| row.record.expires_at);
        }
        soonest.truncate(if self.has(Flaw::SoonestWithoutLimit) { usize::MAX } else { limit });
        done(soonest)
    }

    fn sweep(&self, table: Collection) -> StoreFuture<'_, u64> {
        let mut rows = self.rows.lock().unwrap();
        let before = rows.len();
        let mut left = if self.has(Flaw::SweepsSome) { 250 } else { usize::MAX };
        rows.retain(|key, row| {
            let is_meant = key.table() == table || self.has(Flaw::SweepsAllTables);
            let stays = match self.flaw {
                Flaw::SweepsNothing => true,
                Flaw::SweepsAll => false,
                _ => !is_meant || !self.is_over(row) || left == 0,
            };
            left -= usize::from(!stays);
            stays
        });
        done((before - rows.len()) as u64)
    }

    fn count(&self, table: Collection) -> StoreFuture<'_, u64> {
        let written = *self.written.lock().unwrap();
        done(if self.has(Flaw::CountsWrites) { written } else { self.of(table).len() as u64 })
    }

    fn page(
        &self,
        table: Collection,
        after: Option<RecordKey>,
        limit: usize,
    ) -> StoreFuture<'_, Vec<(RecordKey, StoredRecord)>> {
        let repeats = self.has(Flaw::RepeatsOnPages) && limit == 7;
        let mut page = self.of(table);
        page.retain(|(key, row)| {
            let follows = after.is_none_or(|after| *key > after || (repeats && *key == after));
            follows && (!self.is_over(row) || self.has(Flaw::PagesTheExpired))
        });
        page.truncate(limit);
        done(page)
    }

    fn is_durable(&self) -> bool {
        false
    }
}
