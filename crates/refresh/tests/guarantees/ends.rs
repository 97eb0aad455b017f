//! The end of grants: what ends a grant, and what does not.

use std::time::Duration;

use portcullis_core::{AuthErrorKind, Clock as _, GrantId, Issuer, Reason, ScopeSet};
use portcullis_oauth::providers::Rotation;
use portcullis_refresh::{GrantStore, RefresherConfig, TokenSet};
use portcullis_store::{Expected, Store as _, Swap};
use secrecy::ExposeSecret as _;

use crate::{
    fixture::{Fixture, GRANT, all, ask, config, pass},
    provider::{Act, Provider},
};

/// Returns the tokens of a login of `name`, with a refresh token if `refreshable`.
fn login(fixture: &Fixture, name: &str, refreshable: bool) -> TokenSet {
    let mut response = fixture.provider.log_in(name);
    response.refresh_token = response.refresh_token.filter(|_| refreshable);
    TokenSet::from_login(response, &ScopeSet::default(), fixture.clock.now())
}

/// Returns the refresh token in the store.
async fn stored_secret(fixture: &Fixture) -> String {
    let stored = fixture.grants.load(GRANT).await.expect("readable").expect("stored");
    stored.record.tokens().refresh_token().expect("a refresh token").expose_secret().to_owned()
}

/// Creates more entries than the pool keeps without callers.
pub(crate) fn many(fixture: &Fixture) {
    for number in 0..3000_u128 {
        drop(fixture.refresher.upstream(GrantId::from_bytes((number << 64).to_be_bytes())));
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_refresh_token_a_grant_ends_with_its_access_token() {
    let fixture = Fixture::new().await;
    let id = GrantId::from_bytes([9; 16]);
    fixture.refresher.create(id, login(&fixture, "bob", false)).await.expect("created");
    let upstream = fixture.refresher.upstream(id);
    for _ in 0..4 {
        pass(74).await;
        assert_eq!(all(ask(&upstream, 1)).await, 0);
    }
    pass(5).await;
    assert_eq!(upstream.access_token().await.expect_err("over").reason(), Reason::GrantEnded);
    assert_eq!(fixture.provider.requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_a_year_ahead_and_back_ends_no_grant() {
    const YEAR: Duration = Duration::from_hours(365 * 24);
    let fixture = Fixture::new().await;
    let id = GrantId::from_bytes([9; 16]);
    fixture.refresher.create(id, login(&fixture, "bob", false)).await.expect("created");
    let upstream = fixture.refresher.upstream(id);
    pass(61).await;
    fixture.clock.advance(YEAR);
    let error = upstream.access_token().await.expect_err("expired by this clock");
    assert_eq!(error.kind(), AuthErrorKind::Unavailable, "the clock is not confirmed");
    assert!(error.retry_after().is_some());
    assert!(fixture.refresher.exists(id).await.expect("readable"), "its row has expired by this clock as well");
    let process = fixture.another(config(Rotation::SingleUse));
    let error = process.upstream(id).access_token().await.expect_err("expired by this clock");
    assert_eq!(error.kind(), AuthErrorKind::Unavailable, "another process has just started");

    fixture.clock.step_back(YEAR);
    assert_eq!(all(ask(&upstream, 1)).await, 0);
    assert!(fixture.grants.load(id).await.expect("readable").is_some());
}

#[tokio::test(start_paused = true)]
async fn the_provider_decides_whether_a_grant_has_ended_that_has_expired_by_the_clock() {
    let fixture = Fixture::new().await;
    pass(61).await;
    fixture.clock.advance(Duration::from_hours(365 * 24));
    assert_eq!(all(ask(&fixture.upstream(), 1)).await, 1, "the refresh token is presented");
}

#[tokio::test(start_paused = true)]
async fn no_token_of_a_grant_that_ended_during_its_refresh_is_handed_out() {
    let fixture = Fixture::new().await;
    pass(301).await;
    let through = fixture.refresher.upstream_through(GRANT, fixture.refresher.clone());
    let callers = ask(&fixture.upstream(), 3);
    tokio::time::sleep(Duration::from_millis(10)).await;
    fixture.store.refuse_writes(true);
    drop(fixture.refresher.delete(GRANT).await.expect("removed"));
    pass(5).await;
    for caller in callers {
        assert!(caller.await.expect("no panic").is_err());
    }
    for upstream in [fixture.upstream(), through] {
        assert_eq!(upstream.access_token().await.expect_err("ended").reason(), Reason::GrantEnded);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refresh_of_the_earlier_login_does_not_overwrite_the_later_one() {
    let fixture = Fixture::new().await;
    pass(301).await;
    let callers = ask(&fixture.upstream(), 1);
    tokio::time::sleep(Duration::from_millis(10)).await;
    drop(fixture.refresher.delete(GRANT).await.expect("removed"));
    fixture.refresher.create(GRANT, login(&fixture, "bob", true)).await.expect("created");
    pass(1).await;
    drop(callers);
    assert_eq!(stored_secret(&fixture).await, "refresh-bob-0");
}

#[tokio::test(start_paused = true)]
async fn contexts_of_the_earlier_login_end_in_other_processes_too() {
    let fixture = Fixture::new().await;
    let other = fixture.another(config(Rotation::SingleUse));
    pass(301).await;
    assert_eq!(all(ask(&fixture.upstream(), 1)).await, 1);
    let held = other.upstream(GRANT);
    assert_eq!(all(ask(&held, 1)).await, 1);
    drop(fixture.refresher.delete(GRANT).await.expect("removed"));
    fixture.refresher.create(GRANT, login(&fixture, "bob", true)).await.expect("created");
    pass(330).await;
    // In this process the token of the earlier login has expired, and was of a later generation.
    assert_eq!(held.access_token().await.expect_err("that was alice").reason(), Reason::GrantEnded);
    assert!(held.revocation().is_some_and(|end| end.is_revoked()));
    let token = other.upstream(GRANT).access_token().await.expect("that is bob");
    assert!(token.expose_secret().starts_with("access-bob-"));
    assert!(stored_secret(&fixture).await.starts_with("refresh-bob-") && fixture.provider.is_alive("bob"));
}

#[tokio::test(start_paused = true)]
async fn a_login_in_another_process_is_seen_by_a_process_that_found_no_grant_before() {
    let fixture = Fixture::new().await;
    let id = GrantId::from_bytes([6; 16]);
    let other = fixture.another(config(Rotation::SingleUse));
    let old = other.upstream(id);
    assert_eq!(old.access_token().await.expect_err("there is no grant yet").reason(), Reason::GrantEnded);
    fixture.refresher.create(id, login(&fixture, "new", true)).await.expect("created");
    assert_eq!(all(ask(&other.upstream(id), 3)).await, 0);
    assert!(old.access_token().await.is_err(), "earlier contexts stay revoked");
}

#[tokio::test(start_paused = true)]
async fn a_new_login_does_not_revive_contexts_of_the_earlier_one() {
    let fixture = Fixture::new().await;
    let id = GrantId::from_bytes([6; 16]);
    fixture.refresher.create(id, login(&fixture, "old", true)).await.expect("created");
    let old = fixture.refresher.upstream(id);
    drop(fixture.another(config(Rotation::SingleUse)).delete(id).await.expect("removed"));
    fixture.refresher.create(id, login(&fixture, "new", true)).await.expect("created again");
    assert!(old.revocation().is_some_and(|end| end.is_revoked()));
    assert!(old.access_token().await.is_err());
    assert_eq!(all(ask(&fixture.refresher.upstream(id), 3)).await, 0);
}

#[tokio::test(start_paused = true)]
async fn delete_returns_the_newest_tokens_for_revocation() {
    let fixture = Fixture::new().await;
    pass(301).await;
    fixture.store.refuse_writes(true);
    assert_eq!(all(ask(&fixture.upstream(), 1)).await, 1);
    let ended = fixture.refresher.delete(GRANT).await.expect("removed").expect("there was one");
    assert_eq!(ended.generation().number(), 1, "although the store never saw them");
}

#[tokio::test(start_paused = true)]
async fn a_dead_grant_that_was_rekeyed_meanwhile_is_removed_as_well() {
    let fixture = Fixture::new().await;
    pass(301).await;
    fixture.provider.next(Act::Refuse);
    let callers = ask(&fixture.upstream(), 1);
    tokio::time::sleep(Duration::from_millis(10)).await;
    let row = fixture.store.load(GrantStore::key(GRANT)).await.expect("readable").expect("stored");
    let swap =
        fixture.store.compare_and_swap(GrantStore::key(GRANT), Expected::Unexpired(row.version), row.row, None).await;
    assert!(matches!(swap, Ok(Swap::Written(_))));
    for caller in callers {
        assert_eq!(caller.await.expect("no panic").expect_err("ended").reason(), Reason::GrantEnded);
    }
    assert_eq!(fixture.stored().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_grant_whose_row_could_not_be_removed_stays_ended_after_many_other_grants() {
    let fixture = Fixture::new().await;
    drop(fixture.tokens().await.expect("fresh"));
    fixture.store.refuse_reads(true);
    assert!(fixture.refresher.delete(GRANT).await.is_err());
    fixture.store.refuse_reads(false);
    many(&fixture);
    assert_eq!(fixture.upstream().access_token().await.expect_err("ended").reason(), Reason::GrantEnded);
}

#[tokio::test(start_paused = true)]
async fn a_rejected_token_is_remembered_after_many_other_grants() {
    let fixture = Fixture::new().await;
    let token = fixture.upstream().access_token().await.expect("token");
    fixture.provider.next(Act::Fail { retry_after: None });
    assert!(fixture.upstream().rejected(&token).await.is_err());
    pass(3).await;
    many(&fixture);
    assert_eq!(all(ask(&fixture.upstream(), 1)).await, 1, "the old token is valid by the store");
}

#[tokio::test(start_paused = true)]
async fn a_refresh_token_is_never_presented_to_another_issuer() {
    let fixture = Fixture::new().await;
    let (elsewhere, issuer) = (Provider::new(), Issuer::new("https://elsewhere.example").expect("issuer"));
    // The same vendor, and therefore the same name.
    let config = RefresherConfig::new(issuer, "test", Rotation::SingleUse);
    let other = fixture.at(elsewhere.clone(), config);
    pass(301).await;
    elsewhere.always(Act::Refuse);
    assert_eq!(other.upstream(GRANT).access_token().await.expect_err("not ours").reason(), Reason::GrantEnded);
    assert_eq!((elsewhere.requests(), fixture.stored().await), (0, Some(0)));
    assert!(other.delete(GRANT).await.expect("removed").is_none(), "there are no tokens to revoke at this provider");
    assert_eq!(fixture.stored().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_grant_exists_for_its_own_provider_alone() {
    let fixture = Fixture::new().await;
    assert!(fixture.refresher.exists(GRANT).await.expect("readable"));
    assert!(!fixture.refresher.exists(GrantId::from_bytes([8; 16])).await.expect("readable"), "no such grant");
    let other =
        RefresherConfig::new(Issuer::new("https://other.example").expect("issuer"), "other", Rotation::SingleUse);
    assert!(!fixture.another(other).exists(GRANT).await.expect("readable"), "another provider's");
}

#[tokio::test(start_paused = true)]
async fn the_tokens_of_a_grant_that_this_process_never_used_are_returned_at_its_end() {
    let fixture = Fixture::new().await;
    let secret = stored_secret(&fixture).await;
    let retired = fixture.refresher.deactivate(GRANT).await.expect("readable").expect("tokens");
    assert_eq!(retired.refresh_token().expect("a refresh token").expose_secret(), secret);
    let removed = fixture.refresher.delete(GRANT).await.expect("removed").expect("tokens");
    assert_eq!(removed.refresh_token().expect("a refresh token").expose_secret(), secret);
    assert_eq!(fixture.refresher.delete(GRANT).await.expect("no error").map(|_| ()), None, "it is gone");
}

#[tokio::test(start_paused = true)]
async fn expired_grants_are_swept_a_day_after_their_last_token() {
    let fixture = Fixture::new().await;
    let id = GrantId::from_bytes([9; 16]);
    fixture.refresher.create(id, login(&fixture, "bob", false)).await.expect("created");
    let expiry = fixture.clock.now() + Duration::from_secs(300);
    let day = Duration::from_hours(24);
    fixture.clock.advance(Duration::from_secs(301) + day);
    assert_eq!(fixture.grants.sweep(expiry + day.saturating_sub(Duration::from_secs(1))).await.expect("swept"), 0);
    assert_eq!(fixture.grants.sweep(expiry + day + Duration::from_secs(1)).await.expect("swept"), 1);
    assert!(fixture.grants.load(id).await.expect("readable").is_none());
    assert_eq!(fixture.stored().await, Some(0), "a grant with a refresh token has no known end");
}

#[tokio::test(start_paused = true)]
async fn the_background_tasks_of_a_refresher_end_with_it() {
    let fixture = Fixture::new().await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let another = fixture.another(config(Rotation::SingleUse));
    tokio::task::yield_now().await;
    assert_eq!(tasks(), before + 1, "the sweep");
    drop(another);
    pass(1).await;
    assert_eq!(tasks(), before);
}
