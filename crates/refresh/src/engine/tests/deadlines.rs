//! The state machine when clocks are set, and when a refresh token may be spent.

use std::time::Duration;

use portcullis_core::{Generation, UnixTime};
use tokio::time::Instant;

use super::{
    super::state::{Decision, GrantState, RefreshOutcome},
    fixture::{LIFETIME, RefreshNumber, first, policy, unavailable},
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

/// Returns a state with tokens of 100 s, and the time at which it got them.
fn with_tokens() -> (GrantState<RefreshNumber>, Now) {
    let now = Now { monotonic: Instant::now(), calendar: UnixTime::from_secs(1_800_000_000) };
    let mut state = GrantState::<RefreshNumber>::new();
    state.install(now, &first(now.calendar), policy(true));
    (state, now)
}

fn later(now: Now, seconds: u64) -> Now {
    let passed = Duration::from_secs(seconds);
    Now { monotonic: now.monotonic + passed, calendar: now.calendar + passed }
}

#[test]
fn an_entry_is_kept_while_it_knows_what_no_other_process_would_see() {
    let (mut state, now) = with_tokens();
    assert!(!state.must_be_kept(now), "the store has all of it");
    let mut started = None;
    let reported = Some(Generation::new(0));
    let decision = state.ask(now, reported, policy(true), |job| {
        started = Some(job);
        RefreshNumber(0)
    });
    assert!(matches!(decision, Decision::Wait { joined: false, .. }), "{decision:?}");
    assert!(state.must_be_kept(now), "a refresh is in progress");

    let failed = RefreshOutcome::Failed { error: unavailable(), possibly_spent: false };
    state.complete(now, &started.expect("a refresh"), failed, policy(true)).expect_err("failed");
    assert!(state.must_be_kept(now), "it cools down");
    assert!(state.must_be_kept(later(now, 50)), "the provider rejected the access token before its expiry");
    assert!(!state.must_be_kept(later(now, 100)), "every process sees that the access token has expired");
}

#[test]
fn an_entry_is_kept_while_its_refresh_token_may_be_spent_and_the_access_token_works() {
    let (mut state, now) = with_tokens();
    let early = later(now, 91);
    let mut started = None;
    let decision = state.ask(early, None, policy(true), |job| {
        started = Some(job);
        RefreshNumber(0)
    });
    assert!(matches!(decision, Decision::Ready(_)), "{decision:?}");
    let lost = RefreshOutcome::Failed { error: unavailable(), possibly_spent: true };
    state.complete(early, &started.expect("an early refresh"), lost, policy(true)).expect_err("failed");
    assert!(state.must_be_kept(later(now, 99)), "no other process knows it");
    assert!(!state.must_be_kept(later(now, 101)), "there is no other way now");
}

#[test]
fn a_refresh_token_that_may_have_been_spent_does_not_defer_the_refresh_of_a_later_one() {
    let mut grant = Reference::new(true);
    let pass = |grant: &mut Reference, seconds| {
        grant.now.monotonic += Duration::from_secs(seconds);
        grant.now.calendar = grant.now.calendar + Duration::from_secs(seconds);
    };
    pass(&mut grant, 91);
    grant.ask(None);
    grant.complete(Outcome::Ambiguous);
    pass(&mut grant, 10);
    grant.ask(None);
    grant.complete(Outcome::Refreshed { expires_in: Some(100) });
    pass(&mut grant, 91);
    grant.ask(None);
    assert!(grant.running.is_some(), "the new refresh token was never presented");
}

#[test]
fn an_entry_is_kept_until_the_evidence_of_refusals_lapses() {
    let (mut state, now) = with_tokens();
    state.record_unexplained_refusal(now, Generation::new(0), None);
    assert!(state.must_be_kept(later(now, 3600)), "later refusals count with this one");
    assert!(!state.must_be_kept(later(now, 25 * 3600)), "it has lapsed");
}
