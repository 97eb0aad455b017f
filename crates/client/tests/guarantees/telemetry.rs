//! G16 and G19: metrics, logs and debug output, without secrets.

use std::collections::BTreeMap;

use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use portcullis_test_support::LogCapture;

use crate::{
    fixture::{Fixture, acquire, acquire_for, all, errors, join, pass, report, scopes_of},
    server::{Act, Kind, invalid_token},
};

#[tokio::test(start_paused = true)]
async fn g16_no_token_is_printed_or_logged() {
    let log = LogCapture::of_this_thread();
    let mut printed = String::new();
    for act in [
        Act::Answer,
        Act::OmitRefreshToken,
        Act::Fail { retry_after: Some(1) },
        Act::NotSent,
        Act::Misconfigured,
        Act::LoseAnswer,
        Act::Panic,
        Act::Refuse,
    ] {
        for kind in [Kind::User, Kind::Both] {
            let (fixture, token) = Fixture::logged_in(kind).await;
            assert!(token.authorization().is_sensitive());
            pass(300).await;
            fixture.server.next(act);
            let result = fixture.manager.acquire().await;
            let stepped_up = fixture.manager.login(&scopes_of("write")).await;
            printed +=
                &format!("{token:?} {result:?} {stepped_up:?} {:?} {:?}", fixture.manager, fixture.manager.snapshot());
            if let Err(error) = &result {
                printed += &format!("{error} {:?}", std::error::Error::source(error));
            }
            fixture.refuse_writes(true);
            pass(300).await;
            drop(fixture.manager.acquire().await);
            printed += &format!("{:?}", fixture.manager.shutdown().await);
        }
    }
    let logged = log.text();
    assert!(logged.contains("refresh token rejected by the provider"), "{logged}");
    for secret in ["access-", "refresh-"] {
        assert!(!printed.contains(secret), "{printed}");
        assert!(!logged.contains(secret), "{logged}");
    }
}

/// The metrics by name and labels. A snapshot of the recorder has what was added since the one before.
#[derive(Default)]
struct Numbers(BTreeMap<String, f64>);

impl Numbers {
    fn read(&mut self, recorder: &DebuggingRecorder) -> &BTreeMap<String, f64> {
        for (name, number) in added(recorder) {
            *self.0.entry(name).or_default() += number;
        }
        &self.0
    }
}

fn added(recorder: &DebuggingRecorder) -> BTreeMap<String, f64> {
    let metrics = recorder.snapshotter().snapshot().into_vec();
    let numbers = metrics.into_iter().map(|(key, _, _, value)| {
        let labels: Vec<_> = key.key().labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let number = match value {
            DebugValue::Counter(count) => f64::from(u32::try_from(count).expect("few")),
            DebugValue::Gauge(value) => value.into_inner(),
            DebugValue::Histogram(values) => f64::from(u32::try_from(values.len()).expect("few")),
        };
        (format!("{}{{{}}}", key.key().name(), labels.join(",")), number)
    });
    numbers.collect()
}

#[tokio::test(start_paused = true)]
async fn g19_everything_is_counted() {
    let recorder = DebuggingRecorder::new();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let mut numbers = Numbers::default();
    let (fixture, first) = Fixture::logged_in(Kind::User).await;
    fixture.server.next(Act::Fail { retry_after: None });
    errors(report(&fixture.manager, &first, &invalid_token(), 10)).await;
    let failed = numbers.read(&recorder);
    assert_eq!(failed["portcullis_client_exchanges_total{grant=fake,outcome=transient}"], 1.0);
    assert_eq!(failed["portcullis_client_backoff_active{grant=fake}"], 1.0);
    assert_eq!(failed["portcullis_client_coalesced_waiters_total{grant=fake}"], 9.0);
    pass(2).await;
    all(acquire(&fixture.manager, 10)).await;
    all(report(&fixture.manager, &first, &invalid_token(), 10)).await;
    let other = fixture.another();
    let second = all(acquire(&other, 1)).await;
    assert_eq!(second, "access-2");
    let renewed = numbers.read(&recorder);
    assert_eq!(renewed["portcullis_client_exchanges_total{grant=fake,outcome=success}"], 1.0);
    assert_eq!(renewed["portcullis_client_backoff_active{grant=fake}"], 0.0);
    assert_eq!(renewed["portcullis_client_stale_401_total{grant=fake}"], 10.0);
    assert_eq!(renewed["portcullis_client_exchange_seconds{grant=fake}"], 2.0);
    assert_eq!(renewed["portcullis_client_logins_total{grant=fake,outcome=success}"], 1.0);
    pass(300).await;
    fixture.refuse_writes(true);
    all(acquire(&fixture.manager, 1)).await;
    assert_eq!(numbers.read(&recorder)["portcullis_client_unsaved{grant=fake}"], 1.0);
    fixture.refuse_writes(false);
    pass(2).await;
    assert_eq!(numbers.read(&recorder)["portcullis_client_unsaved{grant=fake}"], 0.0);
    all(acquire(&other, 1)).await;
    assert_eq!(numbers.read(&recorder)["portcullis_client_adopted_total{grant=fake}"], 1.0);
}

#[tokio::test(start_paused = true)]
async fn g19_a_step_up_without_a_user_is_an_exchange() {
    let recorder = DebuggingRecorder::new();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let (fixture, _) = Fixture::logged_in(Kind::Client).await;
    assert!(join(acquire_for(&fixture.manager, "write", 10)).await.iter().all(Result::is_ok));
    let numbers = added(&recorder);
    assert_eq!(numbers["portcullis_client_exchanges_total{grant=fake,outcome=success}"], 2.0);
    assert_eq!(numbers["portcullis_client_coalesced_waiters_total{grant=fake}"], 9.0);
}
