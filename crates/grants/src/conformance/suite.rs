//! [`check`]: every rule, one after the other.

use std::fmt;

use super::{
    Subject, leases, races, rows, times,
    trial::{Finding, Trial},
};

/// A rule that a store breaks.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Violation {
    /// The rule.
    pub rule: &'static str,
    /// What was seen instead.
    pub finding: String,
}

/// The rules that a store breaks.
#[derive(Clone, Debug, Default, thiserror::Error)]
#[non_exhaustive]
pub struct Violations(pub Vec<Violation>);

impl Violations {
    pub(super) fn judge(&mut self, rule: &'static str, outcome: Result<(), Finding>) {
        self.0.extend(outcome.err().map(|Finding(finding)| Violation { rule, finding }));
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the store breaks {} of the rules", self.0.len())?;
        self.0.iter().try_for_each(|Violation { rule, finding }| write!(f, "\n- {rule}: {finding}"))
    }
}

/// What becomes of every rule named, each on a store of its own.
macro_rules! judge {
    ($subject:expr, $($module:ident::$rule:ident),* $(,)?) => {{
        let mut all = Violations::default();
        $(all.judge(stringify!($rule), $module::$rule(&Trial::new($subject).await).await);)*
        if all.0.is_empty() { Ok(()) } else { Err(all) }
    }};
}
pub(super) use judge;

/// Tries every rule of the contract of a [`TokenStore`](crate::TokenStore), each on a store of its own.
///
/// # Errors
/// [`Violations`]: all rules that the store breaks, and what was seen instead.
pub async fn check(subject: &dyn Subject) -> Result<(), Violations> {
    judge!(
        subject,
        rows::an_unknown_id_has_no_row,
        rows::what_is_written_is_read_back,
        rows::nothing_is_created_over_a_row,
        rows::a_write_needs_the_version_that_is_there,
        rows::versions_grow_with_every_write,
        rows::no_version_comes_back,
        rows::only_what_was_seen_is_removed,
        rows::similar_ids_are_different_rows,
        rows::pages_show_every_row_once_and_in_order,
        times::a_row_is_there_until_its_time_is_over,
        times::a_row_whose_time_is_over_makes_room,
        times::a_row_whose_time_is_over_can_still_be_written,
        times::a_sweep_takes_what_is_over_and_nothing_else,
        times::no_version_comes_back_after_a_sweep,
        leases::a_lease_is_held_by_one,
        leases::a_lease_runs_out_and_is_abandoned,
        leases::a_lease_does_not_outlast_a_clock_that_is_put_back,
        leases::a_lease_that_was_given_back_is_not_abandoned,
        leases::fences_grow_whatever_happens,
        leases::a_lease_is_prolonged_by_who_has_it,
        leases::a_lease_is_given_back_by_who_has_it,
        leases::a_write_gives_its_lease_back,
        leases::a_late_write_is_refused,
        leases::a_write_under_a_lease_that_was_given_back_is_refused,
        leases::an_expired_lease_that_was_not_taken_over_stays_valid,
        leases::a_refused_write_keeps_its_lease,
        leases::a_write_without_a_lease_needs_none,
        races::one_of_many_writes_wins,
        races::one_of_many_creations_wins,
        races::one_of_many_removals_wins,
        races::one_of_many_gets_the_lease,
        races::no_increment_is_lost,
    )
}
