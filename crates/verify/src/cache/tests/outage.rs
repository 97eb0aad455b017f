//! Stale contexts during an outage of the verifier.

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use portcullis_core::Reason;
use tokio::time::{Instant, sleep};
use tower::ServiceExt as _;

use super::fixture::{Answer, Provider, ask, reason, token};
use crate::Cache;

#[tokio::test(start_paused = true)]
async fn an_outage_is_never_cached_and_all_waiting_callers_share_it() {
    let provider = Provider::new();
    provider.answers(Answer::Refuse(Reason::ProviderUnavailable));
    let cache = provider.cache();
    let waiting: Vec<_> = (0..1000).map(|_| tokio::spawn(cache.clone().oneshot(token("alice")))).collect();
    let begun = Instant::now();
    for waiter in waiting {
        assert!(waiter.await.expect("no panic").expect_err("outage").is_transient());
    }
    assert!(begun.elapsed() < Duration::from_millis(1100), "no resolution waits for another");
    assert_eq!(provider.calls(), 1);
    provider.answers(Answer::Valid);
    ask(&cache, "alice").await.expect("over");
}

#[tokio::test(start_paused = true)]
async fn a_stale_context_bridges_an_outage_within_its_bound_only() {
    let provider = Provider::new();
    let cache = Cache::around(provider.clone(), provider.config().with_stale_if_error(Duration::from_mins(1)));
    ask(&cache, "alice").await.expect("valid");
    provider.answers(Answer::Refuse(Reason::ProviderTimeout));
    sleep(Duration::from_mins(5)).await;
    for _ in 0..3 {
        ask(&cache, "alice").await.expect("stale, but better than nothing");
        sleep(Duration::from_secs(5)).await;
    }
    sleep(Duration::from_mins(1)).await;
    assert_eq!(reason(ask(&cache, "alice").await), Reason::ProviderTimeout);
}

#[tokio::test(start_paused = true)]
async fn a_stale_context_is_never_used_past_the_tokens_expiry_nor_after_a_refusal() {
    let provider = Provider::new();
    provider.lifetime.store(310, SeqCst);
    let cache = Cache::around(provider.clone(), provider.config().with_stale_if_error(Duration::from_hours(1)));
    ask(&cache, "alice").await.expect("valid");
    ask(&cache, "bob").await.expect("valid");
    provider.answers(Answer::Refuse(Reason::ProviderUnavailable));
    sleep(Duration::from_secs(302)).await;
    ask(&cache, "alice").await.expect("stale");
    provider.answers(Answer::Refuse(Reason::Inactive));
    assert_eq!(reason(ask(&cache, "bob").await), Reason::Inactive);
    provider.answers(Answer::Refuse(Reason::ProviderUnavailable));
    sleep(Duration::from_secs(10)).await;
    assert!(ask(&cache, "alice").await.expect_err("expired").is_transient());
}

#[tokio::test(start_paused = true)]
async fn without_stale_if_error_no_stale_context_is_used() {
    let provider = Provider::new();
    let cache = provider.cache();
    ask(&cache, "alice").await.expect("valid");
    provider.answers(Answer::Refuse(Reason::ProviderUnavailable));
    sleep(Duration::from_mins(5)).await;
    assert!(ask(&cache, "alice").await.expect_err("outage").is_transient());
}
