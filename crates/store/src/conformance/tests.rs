//! Tests of the suite itself: a correct store passes, and each store with one flaw is found out by the rule for it.

use std::{future::ready, sync::Arc, time::Duration};

use portcullis_core::Clock;
use portcullis_testkit::TestClock;

use super::{
    Subject, SubjectFuture, check,
    flawed_store::{Flaw, Flawed},
};
use crate::{MemoryStore, Store};

struct Judged<F>(TestClock, F);

impl<F: Fn(TestClock) -> Arc<dyn Store> + Sync> Subject for Judged<F> {
    fn fresh(&self) -> SubjectFuture<'_, Vec<Arc<dyn Store>>> {
        Box::pin(ready(vec![(self.1)(self.0.clone())]))
    }

    fn clock(&self) -> &dyn Clock {
        &self.0
    }

    fn advance(&self, by: Duration) -> SubjectFuture<'_, ()> {
        self.0.advance(by);
        Box::pin(ready(()))
    }

    fn set_back(&self, by: Duration) -> SubjectFuture<'_, bool> {
        self.0.step_back(by);
        Box::pin(ready(true))
    }
}

#[tokio::test(start_paused = true)]
async fn the_store_in_memory_keeps_every_rule() {
    let subject = Judged(TestClock::new(), |clock| Arc::new(MemoryStore::new().with_clock(Arc::new(clock))) as _);
    check(&subject).await.expect("no violation");
}

#[tokio::test(start_paused = true)]
async fn a_store_without_a_flaw_passes() {
    let subject = Judged(TestClock::new(), |clock| Arc::new(Flawed::new(None, clock)) as _);
    check(&subject).await.expect("no violation: the suite finds the flaws below, and nothing else");
}

#[tokio::test(start_paused = true)]
async fn every_flaw_is_found_by_the_rule_for_it() {
    for (flaw, rule) in [
        (Flaw::WritesLate, "one_of_many_writes_wins"),
        (Flaw::WritesLate, "one_of_many_creations_wins"),
        (Flaw::WritesLate, "no_increment_is_lost"),
        (Flaw::RemovesLate, "one_of_many_removals_wins"),
        (Flaw::RemovesLate, "a_row_is_replaced_or_removed_and_not_both"),
        (Flaw::ComparesNothing, "a_write_needs_the_version_that_is_there"),
        (Flaw::CreatesOverRows, "nothing_is_created_over_a_row"),
        (Flaw::KeepsTheVersion, "versions_grow_with_every_write"),
        (Flaw::CountsAnew, "no_version_comes_back"),
        (Flaw::CountsAnew, "no_version_comes_back_after_a_sweep"),
        (Flaw::RemovesUnseen, "only_what_was_seen_is_removed"),
        (Flaw::EndsAtZero, "what_is_written_is_read_back"),
        (Flaw::ShortensLong, "what_is_written_is_read_back"),
        (Flaw::FoldsCase, "similar_keys_are_different_rows"),
        (Flaw::OneCollection, "collections_are_separate"),
        (Flaw::SweepsAllCollections, "collections_are_separate"),
        (Flaw::CountsWrites, "a_count_is_that_of_the_rows"),
        (Flaw::RepeatsOnPages, "pages_show_every_row_once_and_in_order"),
        (Flaw::PagesTheExpired, "a_row_is_found_until_it_expires"),
        (Flaw::ForgetsExpiry, "a_row_is_found_until_it_expires"),
        (Flaw::KeepsTheExpiry, "the_last_write_decides_when_a_row_expires"),
        (Flaw::ExpiryBlocks, "a_row_can_be_created_in_place_of_an_expired_one"),
        (Flaw::ExpiryBlocks, "one_of_many_creations_wins"),
        (Flaw::ReplacesTheExpired, "an_expired_row_is_not_replaced_as_unexpired"),
        (Flaw::ExpiryLoses, "an_expired_row_can_still_be_written_in_its_version"),
        (Flaw::KeepsTheExpired, "an_expired_row_is_listed_until_it_is_removed"),
        (Flaw::HidesTheExpired, "an_expired_row_is_loaded_by_callers_that_want_it"),
        (Flaw::ListsTheUnconfirmed, "a_row_whose_expiry_is_not_confirmed_is_neither_swept_nor_listed"),
        (Flaw::SweepsTheUnconfirmed, "a_row_whose_expiry_is_not_confirmed_is_neither_swept_nor_listed"),
        (Flaw::ExpiredOnce, "an_expired_row_is_listed_until_it_is_removed"),
        (Flaw::ExpiredByKey, "the_oldest_expired_rows_come_first"),
        (Flaw::ExpiredWithoutLimit, "the_oldest_expired_rows_come_first"),
        (Flaw::NextByKey, "the_next_rows_to_expire_come_first"),
        (Flaw::NextAreExpired, "the_next_rows_to_expire_come_first"),
        (Flaw::NextWithoutLimit, "the_next_rows_to_expire_come_first"),
        (Flaw::SweepsAll, "a_sweep_removes_expired_rows_and_nothing_else"),
        (Flaw::SweepsNothing, "a_sweep_removes_expired_rows_and_nothing_else"),
        (Flaw::SweepsSome, "a_sweep_removes_any_number"),
        (Flaw::SharesLeases, "a_lease_has_one_holder"),
        (Flaw::SharesLeases, "one_of_many_gets_the_lease"),
        (Flaw::LeasesForEver, "a_lease_expires_and_counts_as_abandoned"),
        (Flaw::LeasesAhead, "a_lease_does_not_outlast_a_clock_that_is_set_back"),
        (Flaw::LeasesNearby, "a_lease_does_not_outlast_a_clock_that_is_set_back"),
        (Flaw::NeverAbandoned, "a_lease_expires_and_counts_as_abandoned"),
        (Flaw::AlwaysAbandoned, "a_released_lease_is_not_abandoned"),
        (Flaw::FencesAnew, "fences_always_grow"),
        (Flaw::RenewsNothing, "a_lease_is_renewed_by_its_holder"),
        (Flaw::AnyLease, "a_lease_is_released_by_its_holder"),
        (Flaw::AnyLease, "a_late_write_is_refused"),
        (Flaw::NoFence, "a_late_write_is_refused"),
        (Flaw::NoFence, "a_write_under_a_released_lease_is_refused"),
        (Flaw::TimeFences, "an_expired_lease_is_valid_until_it_is_acquired_again"),
        (Flaw::KeepsLeases, "a_write_releases_its_lease"),
        (Flaw::ConflictReleases, "a_refused_write_keeps_its_lease"),
        (Flaw::LeasesLock, "a_write_without_a_lease_needs_none"),
        (Flaw::BeginsWithAnEvent, "a_new_feed_is_empty"),
        (Flaw::RepeatsEvents, "events_are_read_once_and_in_order"),
        (Flaw::ReversesEvents, "events_are_read_once_and_in_order"),
        (Flaw::MergesEvents, "events_are_read_once_and_in_order"),
        (Flaw::DropsEvents, "no_event_is_lost"),
        (Flaw::NeverWakes, "a_reader_that_waits_is_woken"),
        (Flaw::NeverDrops, "a_reader_that_has_fallen_behind_is_told"),
        (Flaw::DropsInSilence, "a_reader_that_has_fallen_behind_is_told"),
        (Flaw::DropsEarly, "a_reader_that_has_fallen_behind_is_told"),
        (Flaw::TrustsPositions, "a_position_of_another_feed_is_a_gap"),
    ] {
        let subject = Judged(TestClock::new(), |clock| Arc::new(Flawed::new(Some(flaw), clock)) as _);
        let violations = check(&subject).await.expect_err("a flaw").0;
        let rules: Vec<_> = violations.iter().map(|violation| violation.rule).collect();
        assert!(rules.contains(&rule), "{flaw:?}: {rules:?} and not {rule}");
    }
}
