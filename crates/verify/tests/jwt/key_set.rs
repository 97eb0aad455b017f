//! How the keys of an issuer are fetched and cached. Time is paused, so that tests can advance it by hours.

use std::{collections::HashSet, error::Error, time::Duration};

use futures_util::{FutureExt, future::join_all};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use portcullis_core::{AuthError, AuthErrorKind, Reason};
use portcullis_verify::JwtVerifier;
use serde_json::json;
use tokio::time::{Instant, advance, sleep};
use tower::ServiceExt;

use crate::{
    issuer::{FakeIssuer, Fault, JWKS_PATH, verifier},
    signing::{ED25519, NOW, P256, RSA, bearer},
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

async fn ask(verifier: &JwtVerifier, token: &str) -> Result<(), AuthError> {
    verifier.clone().oneshot(bearer(token)).await.map(drop)
}

async fn refusal(verifier: &JwtVerifier, token: &str) -> AuthError {
    ask(verifier, token).await.expect_err("refused")
}

/// Runs the tasks that are ready, without advancing time.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

/// Waits for the end of a fetch in the background.
async fn finish_fetch() {
    settle().await;
    sleep(SECOND).await;
}

/// Creates a token signed by a key that is not in the set, issued a minute before the keys are fetched.
fn with_kid(kid: &str) -> String {
    issued(kid, NOW.as_secs() - 60)
}

fn issued(kid: &str, iat: u64) -> String {
    ED25519.token(|header, claims| {
        header["kid"] = json!(kid);
        claims["iat"] = json!(iat);
    })
}

#[tokio::test(start_paused = true)]
async fn a_thousand_callers_without_keys_share_one_fetch_that_starts_at_the_first_poll() {
    let issuer = FakeIssuer::new(&[&RSA]);
    let verifier = verifier(issuer.keys());
    let token = RSA.token(|_, _| {});
    let start = Instant::now();
    let callers: Vec<_> = (0..1000).map(|_| verifier.clone().oneshot(bearer(&token))).collect();
    settle().await;
    assert!(issuer.requests().is_empty(), "nothing was polled");
    assert!(join_all(callers).await.iter().all(Result::is_ok));
    assert_eq!(issuer.requests(), ["/.well-known/oauth-authorization-server/realms/x", JWKS_PATH]);
    assert_eq!(start.elapsed(), Duration::from_millis(100), "two round trips, for all at once");
}

#[tokio::test(start_paused = true)]
async fn callers_that_go_away_neither_cancel_nor_repeat_a_fetch() {
    let issuer = FakeIssuer::new(&[&RSA]);
    let keys = issuer.keys_at();
    let verifier = verifier(keys.clone());
    for _ in 0..50 {
        let mut caller = verifier.clone().oneshot(bearer(&RSA.token(|_, _| {})));
        assert!((&mut caller).now_or_never().is_none());
        settle().await;
    }
    finish_fetch().await;
    assert!(keys.is_ready());
    assert_eq!(issuer.fetches(), 1);
}

#[test]
fn a_fetch_that_was_lost_with_its_runtime_is_replaced() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    let issuer = FakeIssuer::new(&[&RSA]);
    let keys = issuer.keys_at();
    let (stopped, next) = (runtime(), runtime());
    let handle = stopped.handle().clone();
    drop(stopped);
    {
        let _entered = handle.enter();
        keys.prefetch().now_or_never().expect("at once").expect_err("no fetch is running");
    }
    next.block_on(keys.prefetch()).expect("fetched");
}

#[tokio::test(start_paused = true)]
async fn with_a_cached_key_the_first_poll_is_ready() {
    let issuer = FakeIssuer::new(&[&RSA]);
    let keys = issuer.keys();
    assert!(!keys.is_ready());
    keys.prefetch().await.expect("fetched");
    keys.prefetch().await.expect("at hand");
    assert!(keys.is_ready());
    assert_eq!(issuer.fetches(), 1);
    let outcome = verifier(keys).oneshot(bearer(&RSA.token(|_, _| {}))).now_or_never();
    assert!(outcome.expect("ready").is_ok());
}

#[tokio::test(start_paused = true)]
async fn cl_05_metadata_is_requested_at_three_locations_in_order() {
    let places = [
        "/.well-known/oauth-authorization-server/realms/x",
        "/.well-known/openid-configuration/realms/x",
        "/realms/x/.well-known/openid-configuration",
    ];
    for (at, place) in places.into_iter().enumerate() {
        let issuer = FakeIssuer::new(&[&RSA]);
        issuer.set(|behaviour| behaviour.metadata_path = place);
        ask(&verifier(issuer.keys()), &RSA.token(|_, _| {})).await.expect(place);
        let expected: Vec<_> = places[..=at].iter().copied().chain([JWKS_PATH]).collect();
        assert_eq!(issuer.requests(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn cl_06_the_metadata_of_another_issuer_is_not_used() {
    let issuer = FakeIssuer::new(&[&RSA]);
    issuer.set(|behaviour| behaviour.named_issuer = "https://idp.example.com/realms/x/");
    let error = refusal(&verifier(issuer.keys()), &RSA.token(|_, _| {})).await;
    assert_eq!(error.reason(), Reason::KeySetUnavailable);
    assert_eq!(issuer.fetches(), 0, "its keys are not asked for");
    let cause = error.source().and_then(Error::source).expect("cause").to_string();
    assert!(cause.contains("names the issuer"), "{cause}");
}

#[tokio::test(start_paused = true)]
async fn stale_keys_are_used_while_they_are_fetched_again() {
    for (cache_control, fresh_for) in [
        (None, 10 * MINUTE),
        (Some("max-age=300"), 5 * MINUTE),
        (Some("max-age=5"), MINUTE),
        (Some("no-store"), MINUTE),
        (Some("max-age=31536000"), HOUR),
    ] {
        let issuer = FakeIssuer::new(&[&RSA]);
        issuer.set(|behaviour| (behaviour.cache_control, behaviour.latency) = (cache_control, Duration::ZERO));
        let verifier = verifier(issuer.keys_at());
        let token = RSA.token(|_, _| {});
        ask(&verifier, &token).await.expect("fetched");
        advance(fresh_for - SECOND).await;
        ask(&verifier, &token).await.expect("fresh");
        settle().await;
        assert_eq!(issuer.fetches(), 1, "{cache_control:?}");
        advance(SECOND).await;
        for _ in 0..100 {
            let outcome = verifier.clone().oneshot(bearer(&token)).now_or_never();
            assert!(outcome.expect("ready at once").is_ok());
        }
        finish_fetch().await;
        assert_eq!(issuer.fetches(), 1, "{cache_control:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn keys_that_were_not_needed_for_long_are_fetched_before_they_are_used() {
    let issuer = FakeIssuer::new(&[&RSA]);
    let verifier = verifier(issuer.keys_at());
    ask(&verifier, &RSA.token(|_, _| {})).await.expect("fetched");
    issuer.set(|behaviour| behaviour.keys = crate::signing::jwks(&[&P256]));
    advance(21 * MINUTE).await;
    assert_eq!(refusal(&verifier, &RSA.token(|_, _| {})).await.reason(), Reason::UnknownKey, "withdrawn long ago");
    assert_eq!(issuer.fetches(), 2);
    issuer.set(|behaviour| behaviour.fault = Some(Fault::Status(500, None)));
    advance(21 * MINUTE).await;
    ask(&verifier, &P256.token(|_, _| {})).await.expect("old, but there is nothing newer");
    let outcome = verifier.clone().oneshot(bearer(&P256.token(|_, _| {}))).now_or_never();
    assert!(outcome.expect("ready at once during the back-off").is_ok());
    assert_eq!(issuer.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_kid_starts_at_most_one_fetch_per_cool_down() {
    let issuer = FakeIssuer::new(&[&RSA]);
    let verifier = verifier(issuer.keys_at());
    ask(&verifier, &RSA.token(|_, _| {})).await.expect("fetched");
    assert_eq!(issuer.fetches(), 1);
    let callers = (0..10_000).map(|n| verifier.clone().oneshot(bearer(&with_kid(&n.to_string())))).collect::<Vec<_>>();
    let outcomes = join_all(callers).await;
    assert!(outcomes.iter().all(|o| o.as_ref().is_err_and(|error| error.reason() == Reason::UnknownKey)));
    assert_eq!(issuer.fetches(), 1);
    // 50 ms of the cool-down have passed: it is counted from before the fetch.
    advance(Duration::from_millis(29_900)).await;
    assert_eq!(refusal(&verifier, &with_kid("x")).await.reason(), Reason::UnknownKey);
    assert_eq!(issuer.fetches(), 0);
    advance(Duration::from_millis(50)).await;
    assert_eq!(refusal(&verifier, &with_kid("x")).await.reason(), Reason::UnknownKey);
    assert_eq!(issuer.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_newer_than_the_last_fetch_is_unavailable_and_not_refused_during_the_cool_down() {
    let issuer = FakeIssuer::new(&[&RSA]);
    let verifier = verifier(issuer.keys_at());
    ask(&verifier, &RSA.token(|_, _| {})).await.expect("fetched");
    assert_eq!(refusal(&verifier, &with_kid("junk")).await.reason(), Reason::UnknownKey);
    assert_eq!(issuer.fetches(), 2);
    advance(10 * SECOND - Duration::from_millis(50)).await;
    issuer.set(|behaviour| behaviour.keys = crate::signing::jwks(&[&RSA, &P256]));

    let new = P256.token(|_, claims| claims["iat"] = json!(NOW.as_secs() + 10));
    let mut unavailable = 0;
    for _ in 0..100 {
        let error = refusal(&verifier, &new).await;
        let told = (error.reason(), error.retry_after());
        unavailable += usize::from(told == (Reason::KeySetUnavailable, Some(20 * SECOND)));
    }
    assert_eq!((unavailable, issuer.fetches()), (100, 0), "of 100 requests");
    advance(20 * SECOND).await;
    ask(&verifier, &new).await.expect("the next fetch finds the key");
    assert_eq!(issuer.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn during_the_cool_down_only_a_token_that_may_be_newer_than_the_keys_is_unavailable() {
    let issuer = FakeIssuer::new(&[&RSA]);
    let verifier = verifier(issuer.keys_at());
    ask(&verifier, &RSA.token(|_, _| {})).await.expect("fetched");
    assert_eq!(refusal(&verifier, &with_kid("junk")).await.reason(), Reason::UnknownKey);
    assert_eq!(issuer.fetches(), 2);
    let now = NOW.as_secs();
    let claimed =
        |iat: serde_json::Value| ED25519.token(|header, claims| (header["kid"] = json!("x"), claims["iat"] = iat).0);
    let undated = ED25519.token(|header, claims| {
        header["kid"] = json!("x");
        claims.as_object_mut().expect("claims").remove("iat");
    });
    let nameless = ED25519.token(|header, _| *header = json!({"alg": "EdDSA", "typ": "at+jwt"}));
    for (token, reason) in [
        (issued("x", now + 60), Reason::KeySetUnavailable),
        (issued("x", now), Reason::KeySetUnavailable),
        (issued("x", now - 4), Reason::KeySetUnavailable),
        (undated, Reason::KeySetUnavailable),
        (issued("x", now - 5), Reason::UnknownKey),
        (issued("x", 0), Reason::UnknownKey),
        (issued("x", now + 301), Reason::UnknownKey),
        (claimed(json!("now")), Reason::UnknownKey),
        (claimed(json!(null)), Reason::UnknownKey),
        (nameless, Reason::UnknownKey),
    ] {
        let error = refusal(&verifier, &token).await;
        assert_eq!(error.reason(), reason, "{token}");
        assert_eq!(error.retry_after().is_some(), reason == Reason::KeySetUnavailable);
    }
    assert_eq!(issuer.fetches(), 0, "none of them starts a fetch");
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_new_tokens_with_unknown_keys_are_one_fetch_per_cool_down() {
    let issuer = FakeIssuer::new(&[&RSA]);
    let verifier = verifier(issuer.keys_at());
    ask(&verifier, &RSA.token(|_, _| {})).await.expect("fetched");
    assert_eq!(refusal(&verifier, &with_kid("junk")).await.reason(), Reason::UnknownKey);
    assert_eq!(issuer.fetches(), 2);
    for count in [10_000, 100, 100] {
        for n in 0..count {
            assert!(ask(&verifier, &issued(&format!("{count}-{n}"), NOW.as_secs())).await.is_err());
        }
        advance(30 * SECOND).await;
    }
    assert_eq!(issuer.fetches(), 2, "two cool-downs have begun since the first");
}

#[tokio::test(start_paused = true)]
async fn the_cool_down_is_not_shortened_by_a_failure() {
    let issuer = FakeIssuer::new(&[&RSA]);
    let verifier = verifier(issuer.keys_at());
    ask(&verifier, &RSA.token(|_, _| {})).await.expect("fetched");
    issuer.set(|behaviour| behaviour.fault = Some(Fault::Status(500, None)));
    for _ in 0..29 {
        let error = refusal(&verifier, &with_kid("x")).await;
        assert_eq!(error.reason(), Reason::KeySetUnavailable, "it is not known whether there is such a key");
        assert!(error.retry_after().is_some_and(|delay| delay > Duration::ZERO && delay <= 30 * SECOND));
        ask(&verifier, &RSA.token(|_, _| {})).await.expect("known keys go on");
        advance(SECOND).await;
    }
    assert_eq!(issuer.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_new_key_is_found_by_its_first_token() {
    let issuer = FakeIssuer::new(&[&RSA]);
    let verifier = verifier(issuer.keys_at());
    ask(&verifier, &RSA.token(|_, _| {})).await.expect("fetched");
    issuer.set(|behaviour| behaviour.keys = crate::signing::jwks(&[&RSA, &P256]));
    let tokens = [P256.token(|_, _| {}), P256.token(|_, _| {}), RSA.token(|_, _| {})];
    for outcome in join_all(tokens.iter().map(|token| ask(&verifier, token))).await {
        outcome.expect("all of them wait for the one fetch that is under way");
    }
    assert_eq!(issuer.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn in_an_outage_keys_are_used_for_a_day_and_then_tokens_are_unavailable() {
    let issuer = FakeIssuer::new(&[&RSA]);
    let keys = issuer.keys_at();
    let verifier = verifier(keys.clone());
    let token = RSA.token(|_, _| {});
    ask(&verifier, &token).await.expect("fetched");
    let start = Instant::now();
    issuer.set(|behaviour| behaviour.fault = Some(Fault::Status(503, None)));
    while start.elapsed() < 24 * HOUR - 10 * MINUTE {
        ask(&verifier, &token).await.expect("old keys");
        advance(5 * MINUTE).await;
    }
    assert!(keys.is_ready());
    advance(10 * MINUTE).await;
    let error = refusal(&verifier, &token).await;
    assert_eq!((error.kind(), error.reason()), (AuthErrorKind::Unavailable, Reason::KeySetUnavailable));
    assert!(error.retry_after().is_some() && !keys.is_ready());
    issuer.set(|behaviour| behaviour.fault = None);
    advance(38 * SECOND).await;
    ask(&verifier, &token).await.expect("back");
}

#[tokio::test(start_paused = true)]
async fn the_maximum_age_of_keys_is_configurable() {
    let issuer = FakeIssuer::new(&[&RSA]);
    let verifier = verifier(issuer.keys_at().with_max_age(15 * MINUTE));
    ask(&verifier, &RSA.token(|_, _| {})).await.expect("fetched");
    issuer.set(|behaviour| behaviour.fault = Some(Fault::Status(500, None)));
    advance(14 * MINUTE).await;
    ask(&verifier, &RSA.token(|_, _| {})).await.expect("stale");
    advance(MINUTE).await;
    assert_eq!(refusal(&verifier, &RSA.token(|_, _| {})).await.reason(), Reason::KeySetUnavailable);
}

#[tokio::test(start_paused = true)]
async fn a_failing_issuer_gets_one_call_per_back_off_window_and_errors_say_when_it_ends() {
    let issuer = FakeIssuer::new(&[&RSA]);
    issuer.set(|behaviour| behaviour.fault = Some(Fault::Status(500, None)));
    let verifier = verifier(issuer.keys());
    for least in [1, 2, 4, 8, 16, 30, 30].map(|seconds| seconds * SECOND) {
        let token = RSA.token(|_, _| {});
        let callers = (0..1000).map(|_| verifier.clone().oneshot(bearer(&token))).collect::<Vec<_>>();
        let refusals = join_all(callers).await.into_iter().map(|outcome| outcome.expect_err("no keys"));
        let told: HashSet<_> = refusals.map(|error| (error.reason(), error.retry_after())).collect();
        let window = told.iter().find_map(|(_, delay)| *delay).expect("a window");
        assert_eq!(told, HashSet::from([(Reason::KeySetUnavailable, Some(window))]), "the same for all callers");
        assert!((least..least.mul_f64(1.25)).contains(&window), "up to a quarter more, by chance: {window:?}");
        assert_eq!(issuer.requests().len(), 2, "an issuer that fails twice is not asked at the third location");
        advance(window - SECOND / 2).await;
        let error = refusal(&verifier, &token).await;
        assert_eq!(error.retry_after(), Some(SECOND / 2));
        assert!(issuer.requests().is_empty());
        advance(SECOND / 2).await;
    }
    issuer.set(|behaviour| behaviour.fault = None);
    ask(&verifier, &RSA.token(|_, _| {})).await.expect("back");
}

#[tokio::test(start_paused = true)]
async fn a_success_resets_the_back_off() {
    let issuer = FakeIssuer::new(&[&RSA]);
    issuer.set(|behaviour| behaviour.fault = Some(Fault::Status(500, None)));
    let verifier = verifier(issuer.keys_at().with_max_age(MINUTE));
    for window in [1, 2, 4] {
        refusal(&verifier, &RSA.token(|_, _| {})).await;
        advance((window * SECOND).mul_f64(1.25)).await;
    }
    issuer.set(|behaviour| behaviour.fault = None);
    ask(&verifier, &RSA.token(|_, _| {})).await.expect("back");
    for _ in 0..2 {
        assert_eq!(refusal(&verifier, &with_kid("x")).await.reason(), Reason::UnknownKey, "the issuer answered");
    }
    issuer.set(|behaviour| behaviour.fault = Some(Fault::Status(500, None)));
    advance(2 * MINUTE).await;
    let window = refusal(&verifier, &RSA.token(|_, _| {})).await.retry_after().expect("a window");
    assert!((SECOND..SECOND.mul_f64(1.25)).contains(&window), "the first window again: {window:?}");
}

#[tokio::test(start_paused = true)]
async fn the_issuer_may_ask_for_a_longer_window() {
    let issuer = FakeIssuer::new(&[&RSA]);
    let verifier = verifier(issuer.keys_at());
    for (asked, granted) in [(60, 60), (86_400, 300)] {
        issuer.set(|behaviour| behaviour.fault = Some(Fault::Status(429, Some(asked))));
        let error = refusal(&verifier, &RSA.token(|_, _| {})).await;
        let window = error.retry_after().expect("a window");
        assert!((granted * SECOND..(granted * SECOND).mul_f64(1.25)).contains(&window), "{window:?}");
        advance(window).await;
    }
    assert_eq!(issuer.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn no_failure_of_a_fetch_is_the_tokens_fault() {
    for fault in [Fault::Page, Fault::Panic, Fault::Status(302, None), Fault::Status(403, None)] {
        let issuer = FakeIssuer::new(&[&RSA]);
        issuer.set(|behaviour| behaviour.fault = Some(fault));
        let verifier = verifier(issuer.keys_at());
        assert!(refusal(&verifier, &RSA.token(|_, _| {})).await.is_transient());
        issuer.set(|behaviour| behaviour.fault = None);
        advance(2 * SECOND).await;
        ask(&verifier, &RSA.token(|_, _| {})).await.expect("the next fetch is not held up");
    }
    let empty = FakeIssuer::new(&[]);
    assert!(refusal(&verifier(empty.keys_at()), &RSA.token(|_, _| {})).await.is_transient());
    let slow = FakeIssuer::new(&[&RSA]);
    slow.set(|behaviour| behaviour.latency = HOUR);
    let error = refusal(&verifier(slow.keys_at()), &RSA.token(|_, _| {})).await;
    let cause = error.source().and_then(|cause| cause.downcast_ref::<AuthError>()).expect("cause");
    assert_eq!(cause.reason(), Reason::ProviderTimeout);
}

#[tokio::test(start_paused = true)]
async fn a_bad_key_does_not_fail_the_set() {
    let issuer = FakeIssuer::new(&[&RSA]);
    issuer.set(|behaviour| {
        let keys = behaviour.keys["keys"].as_array_mut().expect("array");
        keys.insert(0, json!({"kty": "AKP", "alg": "ML-DSA-44", "pub": "x"}));
        keys.push(json!("?"));
        keys.push(ED25519.jwk());
    });
    let verifier = verifier(issuer.keys_at());
    ask(&verifier, &RSA.token(|_, _| {})).await.expect("before the bad one");
    ask(&verifier, &ED25519.token(|_, _| {})).await.expect("after the bad one");
}

#[tokio::test(start_paused = true)]
async fn fetches_are_counted_by_outcome() {
    let recorder = DebuggingRecorder::new();
    let issuer = FakeIssuer::new(&[&RSA]);
    let verifier = verifier(metrics::with_local_recorder(&recorder, || issuer.keys()));
    issuer.set(|behaviour| behaviour.fault = Some(Fault::Page));
    refusal(&verifier, &RSA.token(|_, _| {})).await;
    advance(2 * SECOND).await;
    refusal(&verifier, &RSA.token(|_, _| {})).await;
    issuer.set(|behaviour| behaviour.fault = None);
    advance(3 * SECOND).await;
    ask(&verifier, &RSA.token(|_, _| {})).await.expect("fetched");

    let snapshot = recorder.snapshotter().snapshot().into_vec();
    let mut seen: Vec<_> = snapshot
        .iter()
        .map(|(key, _, _, value)| {
            let labels: String = key.key().labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
            (key.key().name(), labels, value)
        })
        .collect();
    seen.sort_by_key(|(_, labels, _)| labels.clone());
    let name = "portcullis_key_set_fetches_total";
    let [failure, success] = ["outcome=failure", "outcome=success"].map(str::to_owned);
    assert_eq!(seen, [(name, failure, &DebugValue::Counter(2)), (name, success, &DebugValue::Counter(1))]);
}
