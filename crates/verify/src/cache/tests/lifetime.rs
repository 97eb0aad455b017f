//! How long contexts and refusals are cached, and revalidation in the background.

use std::{sync::Arc, sync::atomic::Ordering::SeqCst, time::Duration};

use portcullis_core::Reason;
use tokio::time::{Instant, sleep, timeout};
use tower::ServiceExt as _;

use super::fixture::{Answer, Provider, ask, reason, token};
use crate::Cache;

#[tokio::test(start_paused = true)]
async fn a_context_lives_no_longer_than_its_time_to_live() {
    let provider = Provider::new();
    let cache = provider.cache();
    ask(&cache, "alice").await.expect("valid");
    sleep(Duration::from_mins(5)).await;
    ask(&cache, "alice").await.expect("valid");
    assert_eq!(provider.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_context_never_outlives_its_token() {
    let provider = Provider::new();
    provider.lifetime.store(30, SeqCst);
    let cache = provider.cache();
    ask(&cache, "alice").await.expect("valid");
    sleep(Duration::from_millis(29_900)).await;
    ask(&cache, "alice").await.expect("valid");
    assert_eq!(provider.calls(), 1);
    sleep(Duration::from_millis(100)).await;
    provider.answers(Answer::Refuse(Reason::Expired));
    assert_eq!(reason(ask(&cache, "alice").await), Reason::Expired);
}

#[tokio::test(start_paused = true)]
async fn a_context_is_resolved_again_at_its_revalidation_time() {
    let provider = Provider::new();
    provider.known_for.store(30, SeqCst);
    let cache = provider.cache();
    let user = ask(&cache, "alice").await.expect("valid");
    sleep(Duration::from_millis(29_900)).await;
    ask(&cache, "alice").await.expect("valid");
    assert_eq!(provider.calls(), 1);
    sleep(Duration::from_millis(100)).await;
    ask(&cache, "alice").await.expect("valid");
    assert_eq!(provider.calls(), 2);
    assert!(!user.revocation().is_revoked(), "streams go on");
    provider.answers(Answer::Refuse(Reason::ProviderUnavailable));
    sleep(Duration::from_secs(30)).await;
    assert!(ask(&cache, "alice").await.expect_err("outage").is_transient(), "nothing stale is used");
}

#[tokio::test(start_paused = true)]
async fn an_update_has_its_own_lifetime() {
    let provider = Provider::new();
    let cache = provider.cache();
    ask(&cache, "alice").await.expect("valid");
    for round in 2..6 {
        sleep(Duration::from_secs(290)).await;
        ask(&cache, "alice").await.expect("valid");
        sleep(Duration::from_secs(2)).await;
        assert_eq!(provider.calls(), round);
        let begun = Instant::now();
        ask(&cache, "alice").await.expect("valid");
        assert_eq!(begun.elapsed(), Duration::ZERO, "round {round}: renewed, so a hit");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_accepted_by_leeway_only_is_not_cached() {
    let provider = Provider::new();
    provider.lifetime.store(0, SeqCst);
    let cache = provider.cache();
    ask(&cache, "alice").await.expect("valid");
    ask(&cache, "alice").await.expect("valid");
    assert_eq!(provider.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn one_request_revalidates_in_the_background_and_none_waits() {
    let provider = Provider::new();
    let cache = provider.cache();
    ask(&cache, "alice").await.expect("valid");
    sleep(Duration::from_secs(245)).await;
    for _ in 0..100 {
        let begun = Instant::now();
        ask(&cache, "alice").await.expect("valid");
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
    sleep(Duration::from_secs(2)).await;
    assert_eq!(provider.calls(), 2, "one revalidation");
    sleep(Duration::from_secs(60)).await;
    ask(&cache, "alice").await.expect("valid");
    assert_eq!(provider.calls(), 2, "and it started a new life");
}

#[tokio::test(start_paused = true)]
async fn a_revalidation_that_hangs_or_fails_is_repeated_after_a_pause_and_affects_no_request() {
    let provider = Provider::new();
    let cache = provider.cache();
    ask(&cache, "alice").await.expect("valid");
    provider.answers(Answer::Refuse(Reason::ProviderUnavailable));
    sleep(Duration::from_secs(241)).await;
    for _ in 0..5 {
        ask(&cache, "alice").await.expect("still good");
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(provider.calls(), 2);
    sleep(Duration::from_secs(15)).await;
    ask(&cache, "alice").await.expect("still good");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(provider.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_miss_during_a_revalidation_waits_for_it() {
    let provider = Provider::new();
    provider.lifetime.store(245, SeqCst);
    let cache = provider.cache();
    ask(&cache, "alice").await.expect("valid");
    sleep(Duration::from_millis(244_500)).await;
    ask(&cache, "alice").await.expect("valid, and to be revalidated");
    sleep(Duration::from_millis(700)).await;
    let begun = Instant::now();
    ask(&cache, "alice").await.expect("revalidated");
    assert!(begun.elapsed() > Duration::ZERO, "the old one had expired");
    assert_eq!(provider.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refused_revalidation_invalidates_every_context_of_the_token() {
    let provider = Provider::new();
    let cache = provider.cache();
    let held = ask(&cache, "alice").await.expect("valid");
    provider.answers(Answer::Refuse(Reason::Inactive));
    sleep(Duration::from_secs(245)).await;
    ask(&cache, "alice").await.expect("the last one");
    timeout(Duration::from_secs(2), held.revocation().revoked()).await.expect("told");
    assert_eq!(reason(ask(&cache, "alice").await), Reason::Inactive);
    assert_eq!(provider.calls(), 2, "the refusal is remembered");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_invalidates_contexts_that_revalidations_have_replaced() {
    let provider = Provider::new();
    let cache = provider.cache();
    let first = ask(&cache, "alice").await.expect("valid");
    sleep(Duration::from_secs(245)).await;
    ask(&cache, "alice").await.expect("the last one");
    sleep(Duration::from_secs(2)).await;
    let second = ask(&cache, "alice").await.expect("renewed");
    assert!(!Arc::ptr_eq(&first, &second));
    assert!(!first.revocation().is_revoked(), "a stream may go on with it");
    provider.answers(Answer::Refuse(Reason::Inactive));
    sleep(Duration::from_secs(245)).await;
    ask(&cache, "alice").await.expect("the last one");
    sleep(Duration::from_secs(2)).await;
    assert!(second.revocation().is_revoked());
    assert!(first.revocation().is_revoked(), "it was made from the same token");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_cached_briefly() {
    let provider = Provider::new();
    provider.answers(Answer::Refuse(Reason::Inactive));
    let cache = provider.cache();
    for _ in 0..100 {
        assert_eq!(reason(ask(&cache, "junk").await), Reason::Inactive);
    }
    assert_eq!(provider.calls(), 1);
    sleep(Duration::from_secs(10)).await;
    provider.answers(Answer::Valid);
    ask(&cache, "junk").await.expect("asked again");
}

#[tokio::test(start_paused = true)]
async fn refusals_are_not_cached_with_a_zero_ttl() {
    let provider = Provider::new();
    provider.answers(Answer::Refuse(Reason::Inactive));
    let cache = Cache::around(provider.clone(), provider.config().with_negative_ttl(Duration::ZERO));
    for _ in 0..3 {
        assert_eq!(reason(ask(&cache, "junk").await), Reason::Inactive);
    }
    assert_eq!(provider.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn invalid_tokens_cannot_evict_a_user() {
    let provider = Provider::new();
    let config = provider.config().with_capacity(10).with_negative_capacity(10);
    let cache = Cache::around(provider.clone(), config);
    ask(&cache, "alice").await.expect("valid");
    provider.answers(Answer::Refuse(Reason::Inactive));
    for n in 0..1000 {
        ask(&cache, &format!("junk{n}")).await.expect_err("junk");
        // Paused time advances while the test waits: the test must stay within the time to live.
        if provider.clock.0.elapsed() > Duration::from_secs(200) {
            break;
        }
    }
    provider.answers(Answer::Valid);
    let calls = provider.calls();
    ask(&cache, "alice").await.expect("valid");
    assert_eq!(provider.calls(), calls, "alice is still remembered");
}

#[tokio::test(start_paused = true)]
async fn the_least_recently_used_context_is_evicted_first() {
    let provider = Provider::new();
    let cache = Cache::around(provider.clone(), provider.config().with_capacity(10));
    for n in 0..10 {
        ask(&cache, &format!("user{n}")).await.expect("valid");
    }
    cache.handle().contexts().await;
    sleep(Duration::from_secs(40)).await;
    for n in 1..10 {
        ask(&cache, &format!("user{n}")).await.expect("valid");
    }
    cache.handle().contexts().await;
    ask(&cache, "new").await.expect("valid");
    assert_eq!(cache.handle().contexts().await, 10);
    let calls = provider.calls();
    for n in 1..10 {
        ask(&cache, &format!("user{n}")).await.expect("valid");
    }
    ask(&cache, "new").await.expect("valid");
    assert_eq!(provider.calls(), calls, "all but user0 are remembered");
    ask(&cache, "user0").await.expect("valid");
    assert_eq!(provider.calls(), calls + 1);
}

#[tokio::test(start_paused = true)]
async fn contexts_made_together_do_not_expire_together() {
    let provider = Provider::new();
    let cache = provider.cache();
    for n in 0..100 {
        tokio::spawn(cache.clone().oneshot(token(&format!("user{n}"))));
    }
    sleep(Duration::from_secs(2)).await;
    let mut waited = 0;
    sleep(Duration::from_secs(283)).await;
    for n in 0..100 {
        let hit = timeout(Duration::ZERO, ask(&cache, &format!("user{n}"))).await.is_ok();
        waited += usize::from(!hit);
    }
    assert!((10..90).contains(&waited), "{waited} of 100 had expired");
}

#[tokio::test(start_paused = true)]
async fn unlimited_durations_are_accepted() {
    let provider = Provider::new();
    provider.lifetime.store(u64::MAX, SeqCst);
    let config = provider.config().with_ttl(Duration::MAX).with_negative_ttl(Duration::MAX);
    let cache = Cache::around(provider.clone(), config.with_stale_if_error(Duration::MAX));
    ask(&cache, "alice").await.expect("valid");
    provider.answers(Answer::Refuse(Reason::Inactive));
    ask(&cache, "junk").await.expect_err("refused");
    sleep(Duration::from_hours(24)).await;
    ask(&cache, "alice").await.expect("still remembered");
    ask(&cache, "junk").await.expect_err("still remembered");
    assert_eq!(provider.calls(), 2);
}
