//! [`check`]: every rule, one after the other.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use portcullis_core::Clock;

use super::{
    collections, expiry, feed, leases, races, rows,
    trial::{Finding, Trial},
};
use crate::Store;

/// Future of a [`Subject`].
pub type SubjectFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The store that is judged: how to get one, and how to make time pass for it.
pub trait Subject: Sync {
    /// Creates a store without rows. Returns at least one handle; several handles stand for several processes: each reaches the same
    /// rows, over a connection of its own.
    fn fresh(&self) -> SubjectFuture<'_, Vec<Arc<dyn Store>>>;

    /// Returns the clock of the store.
    fn clock(&self) -> &dyn Clock;

    /// Makes time pass for the store. A store with another clock sleeps: it is never asked for more than a few seconds at once.
    fn advance(&self, by: Duration) -> SubjectFuture<'_, ()>;

    /// Sets the clock of the store back, as happens to a machine whose clock was fast. Reports whether that is possible; if not, what
    /// the store does then is not judged.
    fn set_back(&self, by: Duration) -> SubjectFuture<'_, bool> {
        let _ = by;
        Box::pin(std::future::ready(false))
    }
}

/// A rule that a store breaks.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Violation {
    /// The name of the rule.
    pub rule: &'static str,
    /// What was seen instead.
    pub finding: String,
}

/// The rules that a store breaks.
#[derive(Clone, Debug, Default, thiserror::Error)]
#[non_exhaustive]
pub struct Violations(pub Vec<Violation>);

impl Violations {
    fn judge(&mut self, rule: &'static str, outcome: Result<(), Finding>) {
        self.0.extend(outcome.err().map(|Finding(finding)| Violation { rule, finding }));
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the store breaks {} of the rules", self.0.len())?;
        self.0.iter().try_for_each(|Violation { rule, finding }| write!(f, "\n- {rule}: {finding}"))
    }
}

/// Judges every rule named, each on a store of its own.
macro_rules! judge {
    ($subject:expr, $($module:ident::$rule:ident),* $(,)?) => {{
        let mut all = Violations::default();
        $(all.judge(stringify!($rule), $module::$rule(&Trial::new($subject).await).await);)*
        if all.0.is_empty() { Ok(()) } else { Err(all) }
    }};
}

/// Tries every rule of the contract of a [`Store`], each on a store of its own.
///
/// # Errors
/// [`Violations`]: all rules that the store breaks, and what was seen instead.
pub async fn check(subject: &dyn Subject) -> Result<(), Violations> {
    judge!(
        subject,
        rows::an_unknown_key_has_no_row,
        rows::what_is_written_is_read_back,
        rows::nothing_is_created_over_a_row,
        rows::a_write_needs_the_version_that_is_there,
        rows::versions_grow_with_every_write,
        rows::no_version_comes_back,
        rows::only_what_was_seen_is_removed,
        rows::similar_keys_are_different_rows,
        collections::collections_are_separate,
        collections::a_count_is_that_of_the_rows,
        collections::pages_show_every_row_once_and_in_order,
        expiry::a_row_is_found_until_it_expires,
        expiry::the_last_write_decides_when_a_row_expires,
        expiry::a_row_can_be_created_in_place_of_an_expired_one,
        expiry::an_expired_row_is_not_replaced_as_unexpired,
        expiry::an_expired_row_can_still_be_written_in_its_version,
        expiry::an_expired_row_is_listed_until_it_is_removed,
        expiry::an_expired_row_is_loaded_by_callers_that_want_it,
        expiry::a_row_whose_expiry_is_not_confirmed_is_neither_swept_nor_listed,
        expiry::the_oldest_expired_rows_come_first,
        expiry::the_next_rows_to_expire_come_first,
        expiry::a_sweep_removes_expired_rows_and_nothing_else,
        expiry::a_sweep_removes_any_number,
        expiry::no_version_comes_back_after_a_sweep,
        leases::a_lease_has_one_holder,
        leases::a_lease_expires_and_counts_as_abandoned,
        leases::a_lease_does_not_outlast_a_clock_that_is_set_back,
        leases::a_released_lease_is_not_abandoned,
        leases::fences_always_grow,
        leases::a_lease_is_renewed_by_its_holder,
        leases::a_lease_is_released_by_its_holder,
        leases::a_write_releases_its_lease,
        leases::a_late_write_is_refused,
        leases::a_write_under_a_released_lease_is_refused,
        leases::an_expired_lease_is_valid_until_it_is_acquired_again,
        leases::a_refused_write_keeps_its_lease,
        leases::a_write_without_a_lease_needs_none,
        races::one_of_many_writes_wins,
        races::one_of_many_creations_wins,
        races::one_of_many_removals_wins,
        races::a_row_is_replaced_or_removed_and_not_both,
        races::one_of_many_gets_the_lease,
        races::no_increment_is_lost,
        races::no_event_is_lost,
        feed::a_new_feed_is_empty,
        feed::events_are_read_once_and_in_order,
        feed::a_reader_that_waits_is_woken,
        feed::a_reader_that_has_fallen_behind_is_told,
        feed::a_position_of_another_feed_is_a_gap,
    )
}
