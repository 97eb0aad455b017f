//! The state machine when clocks are set, and when a refresh token may be spent.

use std::time::Duration;

use portcullis_core::{Generation, UnixTime};
use tokio::time::Instant;

use super::{
    super::state::GrantState,
    fixture::{LIFETIME, RefreshNumber, first, policy},
    reference::{Outcome, Reference},
};
use crate::token_set::Now;

#[test]
fn a_calendar_that_is_set_back_prolongs_nothing() {
    let mut grant = Reference::new(false);
    grant.now.calendar = grant.now.calendar.saturating_sub(Duration::from_secs(3600));
    grant.now.monotonic += LIFETIME;
    grant.ask(None);
    assert!(grant.running.is_some());
}

#[test]
fn a_token_received_in_the_future_lives_no_longer_than_its_stated_lifetime() {
    let (monotonic, calendar) = (Instant::now(), UnixTime::from_secs(1_800_000_000));
    let mut state = GrantState::<RefreshNumber>::new();
    state.install(Now { monotonic, calendar }, &first(calendar + Duration::from_secs(3600)), policy(false));
    assert!(state.fresh_tokens(Now { monotonic, calendar }, None).is_some());
    assert!(state.fresh_tokens(Now { monotonic: monotonic + LIFETIME, calendar }, None).is_none());
}

#[test]
fn a_token_expires_by_the_calendar_while_the_machine_sleeps() {
    let mut grant = Reference::new(false);
    grant.now.calendar = grant.now.calendar + LIFETIME;
    grant.ask(None);
    assert!(grant.running.is_some());
}

#[test]
fn a_refresh_token_that_may_be_spent_is_not_presented_while_the_access_token_works() {
    for defer in [true, false] {
        let mut grant = Reference::new(defer);
        grant.now.monotonic += Duration::from_secs(91);
        grant.now.calendar = grant.now.calendar + Duration::from_secs(91);
        grant.ask(None);
        grant.complete(Outcome::Ambiguous);
        grant.now.monotonic += Duration::from_secs(2);
        grant.ask(None);
        assert_eq!(grant.running.is_none(), defer, "early");
        if defer {
            grant.now.monotonic += Duration::from_secs(10);
            grant.ask(None);
            assert!(grant.running.is_some(), "there is no other way");
        }
    }
}

#[test]
fn a_new_token_that_is_rejected_again_starts_no_chain_of_refreshes() {
    let mut grant = Reference::new(false);
    grant.ask(Some(Generation::new(0)));
    grant.complete(Outcome::Refreshed { expires_in: Some(100) });
    grant.ask(Some(Generation::new(1)));
    assert!(grant.running.is_none(), "at once");
    grant.ask(None);
    grant.now.monotonic += Duration::from_secs(11);
    grant.ask(Some(Generation::new(1)));
    assert!(grant.running.is_some(), "after a while");
}
