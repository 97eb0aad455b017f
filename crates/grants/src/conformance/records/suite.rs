//! [`check`]: every rule, one after the other.

use super::{
    super::{Subject, Violations, suite::judge, trial::Trial},
    races, rows, tables, times,
};
use crate::records::RecordStore;

/// Tries every rule of the contract of a [`RecordStore`], each on a store of its own.
///
/// # Errors
/// [`Violations`]: all rules that the store breaks, and what was seen instead.
pub async fn check(subject: &dyn Subject<dyn RecordStore>) -> Result<(), Violations> {
    judge!(
        subject,
        rows::an_unknown_key_has_no_record,
        rows::what_is_written_is_read_back,
        rows::nothing_is_created_over_a_record,
        rows::a_write_needs_the_version_that_is_there,
        rows::versions_grow_with_every_write,
        rows::no_version_comes_back,
        rows::only_what_was_seen_is_removed,
        rows::similar_keys_are_different_records,
        tables::tables_do_not_see_each_other,
        tables::a_count_is_that_of_the_records,
        tables::pages_show_every_record_once_and_in_order,
        times::a_record_is_there_until_it_expires,
        times::what_is_written_last_says_when_a_record_expires,
        times::a_record_that_has_expired_makes_room,
        times::a_record_that_has_expired_is_not_replaced,
        times::a_record_is_due_until_it_is_removed,
        times::the_oldest_are_due_first,
        times::those_that_expire_soonest_are_known,
        times::a_sweep_takes_what_has_expired_and_nothing_else,
        times::a_sweep_takes_many,
        times::no_version_comes_back_after_a_sweep,
        races::one_of_many_writes_wins,
        races::one_of_many_creations_wins,
        races::one_of_many_removals_wins,
        races::a_record_is_replaced_or_removed_and_not_both,
        races::no_increment_is_lost,
    )
}
