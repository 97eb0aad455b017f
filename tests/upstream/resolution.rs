//! What a resolution leaves behind: of those who came before, and of a grant at its end.

use std::time::Duration;

use portcullis::types::Reason;
use portcullis_testkit::{Endpoint, Fault, TokenPolicy};
use tokio::time::sleep;

use crate::fixture::{Calls, LIFETIME, World, ask, call_concurrently};

const REQUESTS: usize = 1_000;

#[tokio::test(start_paused = true)]
async fn a_refresh_does_not_affect_earlier_requests_and_is_cached() {
    let world = World::new(TokenPolicy::new()).await.with_known_expiry().await;
    let cache = world.cache(world.profile());
    let opened = ask(&cache).await.expect("a user");
    assert_eq!(opened.email(), Some("alice@example.test"));
    sleep(LIFETIME).await;
    let before = world.calls();
    for _ in 0..2 {
        assert_eq!(ask(&cache).await.expect("a user").subject(), "alice");
        assert_eq!(world.calls().since(before), Calls { dead: 0, user_info: 1, refreshes: 1 });
    }
    assert!(!opened.revocation().is_revoked(), "earlier callers go on");
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_was_withdrawn_is_a_401_and_no_further_exchange_is_tried() {
    let world = World::new(TokenPolicy::new()).await;
    let cache = world.cache(world.profile());
    world.idp.revoke_grant("alice");
    for outcome in call_concurrently(&cache, REQUESTS).await {
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
    ask(&cache).await.expect("cached, and its end not yet noticed");
    let token = user.upstream().access_token().await.expect("its end not yet noticed");
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
