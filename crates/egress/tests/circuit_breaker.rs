//! A failing provider gets one call per back-off window.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use portcullis_core::Reason;
use portcullis_egress::{CircuitBreaker, EgressError, EgressErrorKind};
use portcullis_testkit::{StrictService, TestClock};
use tokio::time::{advance, sleep};
use tower::{Service, ServiceExt};

const SECOND: Duration = Duration::from_secs(1);

/// The present behaviour of the provider, set by the test.
#[derive(Clone)]
struct Behaviour(Arc<Mutex<Answer>>);

#[derive(Clone, Copy)]
enum Answer {
    Status(u16),
    RetryAfter(u16, &'static str),
    NothingLeft,
    Error(EgressErrorKind),
    Slow(u16),
}

impl Behaviour {
    fn new(answer: Answer) -> Self {
        Self(Arc::new(Mutex::new(answer)))
    }

    fn set(&self, answer: Answer) {
        *self.0.lock().expect("lock") = answer;
    }

    async fn answer(self, request: Request<Bytes>) -> Result<Response<Bytes>, EgressError> {
        let answer = *self.0.lock().expect("lock");
        let builder = match answer {
            Answer::Status(status) => Response::builder().status(status),
            Answer::RetryAfter(status, value) => Response::builder().status(status).header("retry-after", value),
            Answer::NothingLeft => Response::builder().status(403).header("x-ratelimit-remaining", "0"),
            Answer::Error(kind) => return Err(EgressError::new(kind, request.uri())),
            Answer::Slow(status) => {
                sleep(SECOND * 5).await;
                Response::builder().status(status)
            }
        };
        Ok(builder.body(Bytes::new()).expect("response"))
    }
}

/// A circuit breaker around a provider with `$behaviour`, and that provider, which counts its calls.
macro_rules! circuit_breaker {
    ($behaviour:expr) => {{
        let behaviour = $behaviour.clone();
        let provider = StrictService::new(move |request| behaviour.clone().answer(request));
        (CircuitBreaker::new(provider.clone()).with_clock(Arc::new(TestClock::new())), provider)
    }};
}

async fn call<S>(service: &S) -> Result<Response<Bytes>, EgressError>
where
    S: Service<Request<Bytes>, Response = Response<Bytes>, Error = EgressError> + Clone,
{
    service.clone().oneshot(Request::get("https://idp.example.com/x").body(Bytes::new()).expect("request")).await
}

async fn call_with<S>(service: &S, credentials: &str) -> Result<Response<Bytes>, EgressError>
where
    S: Service<Request<Bytes>, Response = Response<Bytes>, Error = EgressError> + Clone,
{
    let request = Request::get("https://idp.example.com/user").header("authorization", credentials);
    service.clone().oneshot(request.body(Bytes::new()).expect("request")).await
}

fn wait(result: Result<Response<Bytes>, EgressError>) -> Duration {
    result.expect_err("a failure").retry_after().expect("a time")
}

#[tokio::test(start_paused = true)]
async fn every_kind_of_failure_opens_a_window() {
    for (answer, first, then) in [
        (Answer::Status(500), Reason::ProviderUnavailable, Reason::BackingOff),
        (Answer::Status(503), Reason::ProviderUnavailable, Reason::BackingOff),
        (Answer::Status(429), Reason::ProviderRateLimited, Reason::ProviderRateLimited),
        (Answer::Error(EgressErrorKind::Timeout), Reason::ProviderTimeout, Reason::BackingOff),
        (Answer::Error(EgressErrorKind::Connect), Reason::ProviderUnavailable, Reason::BackingOff),
        (Answer::Error(EgressErrorKind::Transport), Reason::ProviderUnavailable, Reason::BackingOff),
        (Answer::Error(EgressErrorKind::BodyTooLarge), Reason::ProviderMisbehaved, Reason::BackingOff),
    ] {
        let (service, provider) = circuit_breaker!(Behaviour::new(answer));
        let failure = call(&service).await.expect_err("fails");
        assert_eq!(failure.reason(), first);
        assert!(failure.retry_after() >= Some(SECOND), "{failure:?}");
        for _ in 0..100 {
            let refusal = call(&service).await.expect_err("refused");
            assert_eq!(refusal.reason(), then);
            assert_eq!(refusal.retry_after(), failure.retry_after());
        }
        assert_eq!(provider.calls(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn other_answers_open_no_window() {
    for answer in [
        Answer::Status(200),
        Answer::Status(302),
        Answer::Status(400),
        Answer::Status(401),
        Answer::Status(404),
        Answer::Error(EgressErrorKind::Blocked),
    ] {
        let (service, provider) = circuit_breaker!(Behaviour::new(answer));
        let _first = call(&service).await;
        let _second = call(&service).await;
        assert_eq!(provider.calls(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn windows_double_up_to_30_seconds_and_a_success_resets_them() {
    let behaviour = Behaviour::new(Answer::Status(500));
    let (service, provider) = circuit_breaker!(behaviour);
    for (nth, seconds) in [1, 2, 4, 8, 16, 30, 30].into_iter().enumerate() {
        let window = wait(call(&service).await);
        let least = SECOND * seconds;
        assert!(least <= window && window < least * 5 / 4, "window {nth}: {window:?}");
        advance(window - Duration::from_millis(1)).await;
        assert!(call(&service).await.is_err());
        assert_eq!(provider.calls(), nth + 1, "refused to the last millisecond");
        advance(Duration::from_millis(1)).await;
    }
    behaviour.set(Answer::Status(200));
    assert!(call(&service).await.is_ok());
    behaviour.set(Answer::Status(500));
    assert!(wait(call(&service).await) < SECOND * 5 / 4);
}

#[tokio::test(start_paused = true)]
async fn windows_have_jitter() {
    let mut windows = Vec::new();
    for _ in 0..8 {
        let (service, _) = circuit_breaker!(Behaviour::new(Answer::Status(500)));
        windows.push(wait(call(&service).await));
    }
    windows.dedup();
    assert!(windows.len() > 1, "without jitter, all processes come back at once");
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_honoured_within_bounds() {
    // The clock shows 2026-01-01.
    for (value, seconds) in [
        ("60", 60),
        ("Thu, 01 Jan 2026 00:01:00 GMT", 60),
        ("0", 1),
        ("Thu, 01 Jan 2015 00:00:00 GMT", 1),
        ("86400", 300),
        ("99999999999999999999", 300),
        ("nonsense", 1),
    ] {
        for status in [429, 503] {
            let (service, _) = circuit_breaker!(Behaviour::new(Answer::RetryAfter(status, value)));
            let (window, least) = (wait(call(&service).await), SECOND * seconds);
            assert!(least <= window && window < least * 5 / 4, "{value}: {window:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_probe_is_sent_while_other_calls_are_refused() {
    let behaviour = Behaviour::new(Answer::Status(500));
    let (service, provider) = circuit_breaker!(behaviour);
    advance(wait(call(&service).await)).await;

    behaviour.set(Answer::Slow(200));
    let probe = tokio::spawn({
        let service = service.clone();
        async move { call(&service).await }
    });
    tokio::task::yield_now().await;
    for _ in 0..1000 {
        assert_eq!(wait(call(&service).await), SECOND);
    }
    assert_eq!(provider.calls(), 2);
    assert!(probe.await.expect("no panic").is_ok());
    behaviour.set(Answer::Status(200));
    assert!(call(&service).await.is_ok());
    assert_eq!(provider.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn after_a_probe_whose_caller_goes_away_the_next_call_is_the_probe() {
    let behaviour = Behaviour::new(Answer::Status(500));
    let (service, provider) = circuit_breaker!(behaviour);
    advance(wait(call(&service).await)).await;

    behaviour.set(Answer::Slow(200));
    let cancelled = tokio::time::timeout(SECOND, call(&service)).await;
    assert!(cancelled.is_err() && provider.dropped() == 1);
    behaviour.set(Answer::Status(200));
    assert!(call(&service).await.is_ok(), "the next call is the probe");
    assert!(call(&service).await.is_ok());
    assert_eq!(provider.calls(), 4);
}

#[tokio::test(start_paused = true)]
async fn after_a_probe_that_is_blocked_the_next_call_is_the_probe() {
    let behaviour = Behaviour::new(Answer::Status(500));
    let (service, provider) = circuit_breaker!(behaviour);
    advance(wait(call(&service).await)).await;

    behaviour.set(Answer::Error(EgressErrorKind::Blocked));
    assert_eq!(call(&service).await.expect_err("blocked").kind(), EgressErrorKind::Blocked);
    behaviour.set(Answer::Status(200));
    assert!(call(&service).await.is_ok());
    assert_eq!(provider.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn calls_that_fail_together_open_one_window() {
    let behaviour = Behaviour::new(Answer::Slow(500));
    let (service, provider) = circuit_breaker!(behaviour);
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let service = service.clone();
            tokio::spawn(async move { wait(call(&service).await) })
        })
        .collect();
    let mut windows = Vec::new();
    for call in calls {
        windows.push(call.await.expect("no panic"));
    }
    assert_eq!(provider.calls(), 100, "none had failed yet");
    assert!(windows.iter().all(|window| *window == windows[0] && *window < SECOND * 5 / 4), "{windows:?}");
}

#[tokio::test(start_paused = true)]
async fn a_late_success_does_not_close_the_window() {
    let behaviour = Behaviour::new(Answer::Slow(200));
    let (service, provider) = circuit_breaker!(behaviour);
    let late = tokio::spawn({
        let service = service.clone();
        async move { call(&service).await }
    });
    tokio::task::yield_now().await;
    behaviour.set(Answer::RetryAfter(429, "60"));
    let window = wait(call(&service).await);
    assert!(late.await.expect("no panic").is_ok());
    assert!(wait(call(&service).await) < window);
    assert_eq!(provider.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_rate_limit_of_a_users_token_pauses_that_token_only() {
    for (answer, seconds) in [
        (Answer::RetryAfter(429, "60"), 60),
        (Answer::RetryAfter(403, "60"), 60),
        (Answer::RetryAfter(429, "86400"), 300),
        (Answer::Status(429), 1),
        (Answer::NothingLeft, 1),
    ] {
        let behaviour = Behaviour::new(answer);
        let (service, provider) = circuit_breaker!(behaviour);
        let limited = call_with(&service, "Bearer alice").await.expect("returned as it is");
        assert!(matches!(limited.status().as_u16(), 403 | 429));
        behaviour.set(Answer::Status(200));
        for _ in 0..20 {
            let refusal = call_with(&service.clone(), "bearer alice").await.expect_err("not sent");
            assert_eq!(refusal.kind(), EgressErrorKind::RateLimited);
            let pause = refusal.retry_after().expect("a time");
            assert!(SECOND * seconds <= pause && pause < SECOND * seconds * 5 / 4, "{pause:?}");
        }
        assert_eq!(provider.calls(), 1);
        assert!(call_with(&service, "Bearer bob").await.is_ok() && call(&service).await.is_ok());
        let pause = wait(call_with(&service, "Bearer alice").await);
        advance(pause - Duration::from_millis(1)).await;
        assert!(call_with(&service, "Bearer alice").await.is_err(), "to the last millisecond");
        advance(Duration::from_millis(1)).await;
        assert!(call_with(&service, "Bearer alice").await.is_ok());
        assert_eq!(provider.calls(), 4);
    }
}

#[tokio::test(start_paused = true)]
async fn a_403_without_a_rate_limit_pauses_nothing() {
    let (service, provider) = circuit_breaker!(Behaviour::new(Answer::Status(403)));
    for _ in 0..2 {
        assert_eq!(call_with(&service, "Bearer alice").await.expect("as it is").status(), 403);
    }
    assert_eq!(provider.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_paused_credential_is_not_the_probe() {
    let behaviour = Behaviour::new(Answer::RetryAfter(429, "60"));
    let (service, _) = circuit_breaker!(behaviour);
    assert!(call_with(&service, "Bearer alice").await.is_ok());
    behaviour.set(Answer::Status(500));
    advance(wait(call(&service).await)).await;
    behaviour.set(Answer::Status(200));
    assert!(call_with(&service, "Bearer alice").await.is_err());
    assert!(call(&service).await.is_ok(), "another call is the probe");
}
