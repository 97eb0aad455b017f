//! Token, profile, refusal, refresh, profile: one resolution, however many wait.

use std::time::Duration;

use portcullis::core::Reason;
use portcullis_testkit::{Endpoint, Fault, TokenPolicy};
use tokio::time::{Instant, sleep};

use crate::world::{Calls, LIFETIME, ROUND_TRIP, World, ask, crowd};

const CROWD: usize = 1_000;

#[tokio::test(start_paused = true)]
async fn a_thousand_cold_requests_are_one_call() {
    let world = World::new(TokenPolicy::new()).await;
    let cache = world.cache(world.profile());
    let begun = Instant::now();
    for outcome in crowd(&cache, CROWD).await {
        assert_eq!(outcome.expect("a user").email(), Some("alice@example.test"));
    }
    assert_eq!(world.calls(), Calls { dead: 0, user_info: 1, refreshes: 0 });
    assert!(begun.elapsed() < 2 * ROUND_TRIP);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_requests_on_a_token_known_to_have_expired_are_one_refresh_and_one_call() {
    let world = World::new(TokenPolicy::new()).await.with_known_expiry().await;
    let cache = world.cache(world.profile());
    let opened = ask(&cache).await.expect("a user");
    sleep(LIFETIME).await;
    let (before, begun) = (world.calls(), Instant::now());
    let users = crowd(&cache, CROWD).await;
    assert!(users.iter().all(Result::is_ok));
    assert_eq!(world.calls().since(before), Calls { dead: 0, user_info: 1, refreshes: 1 });
    assert!(begun.elapsed() <= ROUND_TRIP.mul_f64(3.5), "{:?}", begun.elapsed());
    assert!(!opened.revocation().is_revoked(), "whoever came before goes on");
    assert_eq!(ask(&cache).await.expect("a user").subject(), "alice");
    assert_eq!(world.calls().since(before), Calls { dead: 0, user_info: 1, refreshes: 1 }, "and it is remembered");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_requests_on_a_token_that_nobody_knows_to_be_dead_are_one_dead_call() {
    let world = World::new(TokenPolicy::new().without_expires_in()).await;
    let cache = world.cache(world.profile());
    sleep(LIFETIME).await;
    let begun = Instant::now();
    assert!(crowd(&cache, CROWD).await.iter().all(Result::is_ok));
    assert_eq!(world.calls(), Calls { dead: 1, user_info: 2, refreshes: 1 });
    assert!(begun.elapsed() <= ROUND_TRIP.mul_f64(3.5), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn nobody_who_comes_during_a_refresh_gets_the_dead_token() {
    let world = World::new(TokenPolicy::new().without_expires_in()).await;
    let cache = world.cache(world.profile());
    sleep(LIFETIME).await;
    let first = tokio::spawn({
        let cache = cache.clone();
        async move { ask(&cache).await }
    });
    // The dead call is over, the refresh is not.
    sleep(ROUND_TRIP + ROUND_TRIP / 2).await;
    assert_eq!(world.calls(), Calls { dead: 1, user_info: 1, refreshes: 1 });
    assert!(crowd(&cache, 50).await.iter().all(Result::is_ok));
    first.await.expect("no panic").expect("a user");
    assert_eq!(world.calls(), Calls { dead: 1, user_info: 2, refreshes: 1 });
}

#[tokio::test(start_paused = true)]
async fn callers_that_go_away_neither_cancel_the_refresh_nor_repeat_it() {
    let world = World::new(TokenPolicy::new().without_expires_in()).await;
    let cache = world.cache(world.profile());
    sleep(LIFETIME).await;
    for _ in 0..250 {
        assert!(tokio::time::timeout(Duration::from_millis(1), ask(&cache)).await.is_err());
    }
    sleep(3 * ROUND_TRIP).await;
    let begun = Instant::now();
    ask(&cache).await.expect("a user");
    assert_eq!(begun.elapsed(), Duration::ZERO, "it was done for those who had gone");
    assert_eq!(world.calls(), Calls { dead: 1, user_info: 2, refreshes: 1 });
    assert_eq!((world.idp.most_times_presented(), world.idp.families_killed()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_fails_is_called_once_and_no_token_is_spent() {
    let world = World::new(TokenPolicy::new()).await;
    let cache = world.cache(world.profile());
    world.idp.set_fault(Endpoint::UserInfo, Fault::status(500));
    for outcome in crowd(&cache, CROWD).await {
        assert!(outcome.expect_err("an outage").is_transient());
    }
    assert_eq!((world.idp.calls(Endpoint::UserInfo), world.idp.calls(Endpoint::Token)), (1, 0));
    world.idp.heal(Endpoint::UserInfo);
    sleep(Duration::from_secs(60)).await;
    ask(&cache).await.expect("nobody has to log in again");
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_was_withdrawn_is_a_401_and_no_further_exchange_is_tried() {
    let world = World::new(TokenPolicy::new()).await;
    let cache = world.cache(world.profile());
    world.idp.revoke_grant("alice");
    for outcome in crowd(&cache, CROWD).await {
        assert_eq!(outcome.expect_err("no grant").reason(), Reason::GrantEnded);
    }
    sleep(Duration::from_mins(5)).await;
    assert_eq!(ask(&cache).await.expect_err("no grant").reason(), Reason::GrantEnded);
    assert_eq!(world.calls().refreshes, 1);
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_a_handler_finds_at_its_end_takes_remembered_users_with_it_at_once() {
    let world = World::new(TokenPolicy::new()).await;
    let cache = world.cache(world.profile());
    let user = ask(&cache).await.expect("a user");
    world.idp.revoke_grant("alice");
    ask(&cache).await.expect("remembered, and nobody knows yet");
    let token = user.upstream().access_token().await.expect("nobody knows yet");
    let refusal = user.upstream().rejected(&token).await.expect_err("the grant has ended");
    assert_eq!(refusal.reason(), Reason::GrantEnded);
    assert!(user.revocation().is_revoked());
    assert_eq!(ask(&cache).await.expect_err("forgotten").reason(), Reason::GrantEnded);
    assert_eq!(world.calls().refreshes, 1);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_refuses_what_it_has_just_issued_is_not_asked_for_more_and_more() {
    let world = World::new(TokenPolicy::new()).await;
    let cache = world.cache(world.profile());
    world.idp.set_fault(Endpoint::UserInfo, Fault::status(401));
    for _ in 0..10 {
        let refusal = ask(&cache).await.expect_err("refused");
        assert_eq!(refusal.reason(), Reason::FreshTokenRefused);
        assert!(refusal.is_transient(), "a login would not help");
    }
    assert_eq!(world.calls().refreshes, 1);
}
