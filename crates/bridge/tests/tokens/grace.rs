//! Refresh tokens that are repeated within the grace period: metrics and log.

use std::collections::BTreeMap;

use http::HeaderName;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use portcullis_test_support::{Answer, LogCapture};

use crate::fixture::Fixture;

const FORWARDED: &str = "x-forwarded-for";
const HERE: &str = "192.0.2.1";

async fn behind_a_proxy() -> Fixture {
    Fixture::with(|config| config.with_client_address_header(HeaderName::from_static(FORWARDED))).await
}

async fn refresh(fixture: &Fixture, token: &str, address: &str) -> Answer {
    let call = fixture.app().await.refresh(token).with_header(FORWARDED, address);
    let answer = call.await.expect("a response");
    assert_eq!(answer.status(), 200, "{answer:?}");
    answer
}

/// Rotates from one address, and repeats the token from another one.
async fn repeated(fixture: &Fixture, token: &str, [first, second]: [&str; 2]) -> Answer {
    let next = refresh(fixture, token, first).await;
    fixture.pass(20);
    let again = refresh(fixture, token, second).await;
    assert_eq!(again.refresh_token(), next.refresh_token(), "the same again");
    fixture.pass(600);
    next
}

/// Returns the counters since the last call, by sign.
fn suspected(snapshotter: &Snapshotter) -> BTreeMap<String, u64> {
    let counted = snapshotter.snapshot().into_vec().into_iter().filter_map(|(key, _, _, value)| {
        let DebugValue::Counter(count) = value else { return None };
        let sign = key.key().labels().next().map(|label| label.value().to_owned())?;
        (key.key().name() == "portcullis_bridge_refresh_reuse_suspected_total" && count > 0).then_some((sign, count))
    });
    counted.collect()
}

fn expected<const N: usize>(counted: [(&str, u64); N]) -> BTreeMap<String, u64> {
    counted.map(|(sign, count)| (sign.to_owned(), count)).into()
}

/// Returns the log lines about repeated tokens.
fn lines(log: &LogCapture) -> Vec<String> {
    log.lines("refresh token repeated as a stolen copy would be")
}

#[tokio::test(start_paused = true)]
async fn a_session_that_needs_the_grace_period_at_every_rotation_is_counted_and_logged() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let log = LogCapture::of_this_thread();
    let fixture = behind_a_proxy().await;
    let mut tokens = fixture.log_in().await;
    for _ in 0..2 {
        tokens = repeated(&fixture, tokens.refresh_token(), ["198.51.100.1", "198.51.100.1"]).await;
    }
    assert_eq!(suspected(&snapshotter), expected([]), "answers get lost");
    for _ in 0..2 {
        tokens = repeated(&fixture, tokens.refresh_token(), ["198.51.100.1", "198.51.100.1"]).await;
    }
    assert_eq!(suspected(&snapshotter), expected([("every_rotation", 2)]), "the third in a row, and the fourth");
    let logged = lines(&log);
    assert_eq!(logged.len(), 1, "once an hour: {logged:?}");
    for part in ["WARN", "signs=\"every_rotation\"", "in_a_row=3", "client_id=\"app\"", "198.51.100.1"] {
        assert!(logged[0].contains(part), "{part}: {}", logged[0]);
    }
    assert!(!logged[0].contains(tokens.refresh_token()));
    tokens = refresh(&fixture, tokens.refresh_token(), "198.51.100.1").await;
    fixture.pass(600);
    repeated(&fixture, tokens.refresh_token(), ["198.51.100.1", "198.51.100.1"]).await;
    assert_eq!(suspected(&snapshotter), expected([]), "one rotation without it, and it begins anew");
}

#[tokio::test(start_paused = true)]
async fn a_refresh_token_that_is_presented_from_two_addresses_is_counted_and_logged() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let log = LogCapture::of_this_thread();
    let fixture = behind_a_proxy().await;
    let tokens = fixture.log_in().await;
    let next = refresh(&fixture, tokens.refresh_token(), "203.0.113.1").await;
    for address in ["203.0.113.2", "203.0.113.2", "203.0.113.3"] {
        refresh(&fixture, tokens.refresh_token(), address).await;
    }
    assert_eq!(suspected(&snapshotter), expected([("two_addresses", 1)]), "once a rotation");
    let logged = lines(&log);
    assert_eq!(logged.len(), 1, "{logged:?}");
    assert!(logged[0].contains("203.0.113.1") && logged[0].contains("203.0.113.2"), "{}", logged[0]);
    // A network counts as one address, and an unknown address is not a different one.
    let next = refresh(&fixture, next.refresh_token(), HERE).await;
    fixture.pass(600);
    let next = repeated(&fixture, next.refresh_token(), ["2001:db8:0:1::1", "2001:db8:0:1::2"]).await;
    repeated(&fixture, next.refresh_token(), [HERE, "unknown"]).await;
    assert_eq!(suspected(&snapshotter), expected([]));
}

#[tokio::test(start_paused = true)]
async fn repetitions_are_counted_by_session_whichever_process_answers() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let mut fixture = behind_a_proxy().await;
    let mut tokens = fixture.log_in().await;
    for _ in 0..3 {
        let another = fixture.another(|config| config);
        fixture = fixture.replaced_by(another);
        tokens = repeated(&fixture, tokens.refresh_token(), [HERE, HERE]).await;
    }
    assert_eq!(suspected(&snapshotter), expected([("every_rotation", 1)]));
}
