//! Invalidation of contexts, also during their resolution.

use std::{sync::Arc, time::Duration};

use portcullis_core::{Issuer, Reason, UserContext};
use tokio::time::{sleep, timeout};
use tower::ServiceExt as _;

use super::fixture::{Answer, Provider, ask, issuer, reason, token};
use crate::Cache;

#[tokio::test(start_paused = true)]
async fn a_token_is_invalidated() {
    let provider = Provider::new();
    let cache = provider.cache();
    let held = ask(&cache, "alice.1").await.expect("valid");
    let other = ask(&cache, "alice.2").await.expect("valid");
    cache.handle().invalidate_token(&token("alice.1")).await;
    assert!(held.revocation().is_revoked());
    assert!(!other.revocation().is_revoked());
    ask(&cache, "alice.1").await.expect("asked again");
    assert_eq!(provider.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_revoked_context_is_not_a_hit() {
    let provider = Provider::new();
    let cache = provider.cache();
    let held = ask(&cache, "alice").await.expect("valid");
    held.revocation().revoke();
    let again = ask(&cache, "alice").await.expect("asked again");
    assert!(!again.revocation().is_revoked());
    assert_eq!(provider.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_user_an_issuer_or_everything_is_invalidated() {
    let provider = Provider::new();
    let cache = provider.cache();
    let handle = cache.handle();
    let mut held = Vec::new();
    for text in ["alice.1", "alice.2", "bob.1"] {
        held.push(ask(&cache, text).await.expect("valid"));
    }
    let revoked = |held: &[Arc<UserContext>]| held.iter().map(|c| c.revocation().is_revoked()).collect::<Vec<_>>();

    handle.invalidate_user(&Issuer::new("https://other.example.com").expect("issuer"), "alice").await;
    handle.invalidate_issuer(&Issuer::new("https://other.example.com").expect("issuer")).await;
    assert_eq!(revoked(&held), [false, false, false]);
    handle.invalidate_user(&issuer(), "alice").await;
    assert_eq!(revoked(&held), [true, true, false]);
    handle.invalidate_issuer(&issuer()).await;
    assert_eq!(revoked(&held), [true, true, true]);
    assert_eq!(handle.contexts().await, 0);

    let again = ask(&cache, "bob.1").await.expect("valid");
    handle.invalidate_all().await;
    assert!(again.revocation().is_revoked());
}

#[tokio::test(start_paused = true)]
async fn an_evicted_context_that_a_stream_still_uses_is_invalidated() {
    let provider = Provider::new();
    let cache = Cache::around(provider.clone(), provider.config().with_capacity(1));
    let held = ask(&cache, "alice").await.expect("valid");
    for n in 0..5 {
        ask(&cache, &format!("user{n}")).await.expect("valid");
        cache.handle().contexts().await;
    }
    cache.handle().invalidate_user(&issuer(), "alice").await;
    assert!(held.revocation().is_revoked());
}

#[tokio::test(start_paused = true)]
async fn a_context_that_is_invalidated_during_its_resolution_is_resolved_again() {
    let provider = Provider::new();
    let cache = provider.cache();
    let asking = tokio::spawn(cache.clone().oneshot(token("alice")));
    sleep(Duration::from_millis(500)).await;
    cache.handle().invalidate_user(&issuer(), "alice").await;
    provider.answers(Answer::Refuse(Reason::Inactive));
    assert_eq!(reason(asking.await.expect("no panic")), Reason::Inactive);
}

#[tokio::test(start_paused = true)]
async fn a_context_that_is_invalidated_between_resolution_and_use_is_not_returned() {
    let provider = Provider::new();
    let cache = provider.cache();
    let mut asking = Box::pin(ask(&cache, "alice"));
    timeout(Duration::from_millis(1), &mut asking).await.expect_err("under way");
    sleep(Duration::from_secs(2)).await;
    cache.handle().invalidate_all().await;
    assert_eq!(reason(asking.await), Reason::Revoked);
}

#[tokio::test(start_paused = true)]
async fn a_context_that_is_invalidated_repeatedly_is_refused_in_the_end() {
    let provider = Provider::new();
    let cache = provider.cache();
    let asking = tokio::spawn(cache.clone().oneshot(token("alice")));
    for _ in 0..3 {
        sleep(Duration::from_millis(900)).await;
        cache.handle().invalidate_all().await;
    }
    assert_eq!(reason(asking.await.expect("no panic")), Reason::Revoked);
    assert_eq!(provider.calls(), 3);
}
