//! One resolution per token: misses, waiting callers, refusals, and failures of the verifier.

use std::{sync::Arc, time::Duration};

use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use portcullis_core::Reason;
use tokio::time::{Instant, sleep, timeout};
use tower::{Service, ServiceExt as _};

use super::fixture::{Answer, Provider, ask, reason, token};
use crate::{Cache, CacheLayer};

#[tokio::test(start_paused = true)]
async fn a_token_is_resolved_once_and_cached() {
    let provider = Provider::new();
    let cache = provider.cache();
    let first = ask(&cache, "alice").await.expect("valid");
    let begun = Instant::now();
    let second = ask(&cache, "alice").await.expect("valid");
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!(begun.elapsed(), Duration::ZERO, "a hit waits for nothing");
    assert_eq!(provider.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_differs_in_one_letter_is_another_token() {
    let provider = Provider::new();
    let cache = provider.cache();
    ask(&cache, "alice.1").await.expect("valid");
    ask(&cache, "alice.2").await.expect("valid");
    assert_eq!(provider.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_concurrent_misses_cost_one_call() {
    let provider = Provider::new();
    let cache = provider.cache();
    let waiting: Vec<_> = (0..10_000).map(|_| tokio::spawn(cache.clone().oneshot(token("alice")))).collect();
    for waiter in waiting {
        waiter.await.expect("no panic").expect("valid");
    }
    assert_eq!(provider.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_concurrent_requests_with_an_expired_context_cost_one_call() {
    let provider = Provider::new();
    let cache = provider.cache();
    ask(&cache, "alice").await.expect("valid");
    sleep(Duration::from_mins(5)).await;
    let waiting: Vec<_> = (0..10_000).map(|_| tokio::spawn(cache.clone().oneshot(token("alice")))).collect();
    for waiter in waiting {
        waiter.await.expect("no panic").expect("valid");
    }
    assert_eq!(provider.calls(), 2);
}

/// Fails with moka's bare `try_get_with`: 250 disconnects are 200 calls and a panic.
#[tokio::test(start_paused = true)]
async fn callers_that_go_away_neither_cancel_nor_repeat_the_resolution() {
    let provider = Provider::new();
    let cache = provider.cache();
    let mut patient = Box::pin(cache.clone().oneshot(token("alice")));
    for _ in 0..250 {
        timeout(Duration::from_millis(1), cache.clone().oneshot(token("alice"))).await.expect_err("still under way");
    }
    assert!(patient.as_mut().await.is_ok());
    assert_eq!(provider.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_outcome_of_a_resolution_without_waiting_callers_is_cached() {
    let provider = Provider::new();
    let cache = provider.cache();
    timeout(Duration::from_millis(1), ask(&cache, "alice")).await.expect_err("went away");
    sleep(Duration::from_secs(2)).await;
    ask(&cache, "alice").await.expect("valid");
    assert_eq!(provider.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn different_tokens_never_wait_for_each_other() {
    let provider = Provider::new();
    let cache = provider.cache();
    let begun = Instant::now();
    let waiting: Vec<_> = (0..1000).map(|n| tokio::spawn(cache.clone().oneshot(token(&format!("user{n}"))))).collect();
    for waiter in waiting {
        waiter.await.expect("no panic").expect("valid");
    }
    assert!(begun.elapsed() < Duration::from_millis(1100), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_verifier_that_panics_fails_waiting_callers_and_leaves_nothing_locked() {
    let provider = Provider::new();
    provider.answers(Answer::Panic);
    let cache = provider.cache();
    let waiting: Vec<_> = (0..100).map(|_| tokio::spawn(cache.clone().oneshot(token("alice")))).collect();
    for waiter in waiting {
        assert_eq!(reason(waiter.await.expect("the caller does not panic")), Reason::VerifierFailed);
    }
    assert_eq!(provider.calls(), 1);
    provider.answers(Answer::Valid);
    ask(&cache, "alice").await.expect("recovered");
}

#[tokio::test(start_paused = true)]
async fn a_hanging_verifier_delays_its_own_token_only() {
    let provider = Provider::new();
    let cache = provider.cache();
    provider.answers(Answer::Hang);
    timeout(Duration::from_secs(5), ask(&cache, "alice")).await.expect_err("hangs");
    provider.answers(Answer::Valid);
    timeout(Duration::from_secs(5), ask(&cache, "bob")).await.expect("in time").expect("valid");
}

#[tokio::test(start_paused = true)]
async fn two_caches_of_one_layer_share_nothing() {
    use tower::Layer as _;
    let (one, other) = (Provider::new(), Provider::new());
    let layer = CacheLayer::new(one.config());
    ask(&layer.layer(one.clone()), "alice").await.expect("valid");
    other.answers(Answer::Refuse(Reason::WrongAudience));
    assert_eq!(reason(ask(&layer.layer(other), "alice").await), Reason::WrongAudience);
}

#[tokio::test(start_paused = true)]
async fn look_ups_and_resolutions_are_counted_by_their_outcome() {
    let recorder = DebuggingRecorder::new();
    let provider = Provider::new();
    let config = provider.config().with_stale_if_error(Duration::from_mins(1));
    let cache = metrics::with_local_recorder(&recorder, || Cache::around(provider.clone(), config));
    ask(&cache, "alice").await.expect("a miss");
    ask(&cache, "alice").await.expect("a hit");
    sleep(Duration::from_secs(245)).await;
    ask(&cache, "alice").await.expect("stale");
    sleep(Duration::from_secs(2)).await;
    provider.answers(Answer::Refuse(Reason::Inactive));
    ask(&cache, "junk").await.expect_err("a miss");
    ask(&cache, "junk").await.expect_err("rejected");
    ask(&cache, "junk").await.expect_err("rejected");
    provider.answers(Answer::Refuse(Reason::ProviderUnavailable));
    sleep(Duration::from_mins(5)).await;
    ask(&cache, "alice").await.expect("a miss, bridged by what is stale");
    cache.handle().invalidate_all().await;

    let mut counted: Vec<_> = recorder
        .snapshotter()
        .snapshot()
        .into_vec()
        .into_iter()
        .filter_map(|(key, _, _, value)| match value {
            DebugValue::Counter(count) => {
                let label = key.key().labels().next().map_or("", |label| label.value()).to_owned();
                Some((key.key().name().trim_start_matches("portcullis_").to_owned(), label, count))
            }
            DebugValue::Histogram(seconds) => Some((key.key().name().to_owned(), String::new(), seconds.len() as u64)),
            DebugValue::Gauge(_) => None,
        })
        .collect();
    counted.sort();
    let expected = [
        ("cache_invalidated_total", "", 1),
        ("cache_lookups_total", "hit", 1),
        ("cache_lookups_total", "miss", 3),
        ("cache_lookups_total", "rejected", 2),
        ("cache_lookups_total", "stale", 1),
        ("cache_stale_if_error_total", "", 1),
        ("portcullis_resolution_seconds", "", 4),
        ("resolutions_total", "invalid", 1),
        ("resolutions_total", "unavailable", 1),
        ("resolutions_total", "valid", 2),
    ];
    assert_eq!(counted, expected.map(|(name, label, count)| (name.to_owned(), label.to_owned(), count)));
}

#[test]
fn a_runtime_that_stops_leaves_no_caller_waiting_and_the_next_one_starts_anew() {
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("runtime");
    let (stopped, next) = (runtime(), runtime());
    let handle = stopped.handle().clone();
    drop(stopped);
    let provider = Provider::new();
    let cache = provider.cache();
    let asking = {
        let _guard = handle.enter();
        cache.clone().call(token("alice"))
    };
    assert_eq!(reason(next.block_on(asking)), Reason::VerifierFailed);
    next.block_on(ask(&cache, "alice")).expect("asked again");
}
