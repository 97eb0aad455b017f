//! A failing credential is not taken for a failing provider.

use std::{
    collections::HashMap,
    future,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use portcullis_core::{Fingerprint, RequestSource};
use portcullis_egress::{Answer, CircuitBreaker, CredentialKey, EgressError, EgressErrorKind};
use portcullis_testkit::TestClock;
use tokio::{
    task::{JoinHandle, yield_now},
    time::{advance, sleep},
};
use tower::{ServiceExt as _, util::BoxCloneSyncService};

const SECOND: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
enum Does {
    Answers(u16),
    AsksForRest(u16, &'static str),
    Fails(EgressErrorKind),
    AnswersAfter(Duration),
    FailsAfter(Duration),
    Hangs,
}

/// A provider that answers 200, unless another behaviour is set for a credential (or for all, by `*`); and the calls to it.
#[derive(Clone, Default)]
struct Provider {
    does: Arc<Mutex<HashMap<&'static str, Does>>>,
    calls: Arc<Mutex<Vec<String>>>,
}

type Service = CircuitBreaker<BoxCloneSyncService<Request<Bytes>, Response<Bytes>, EgressError>>;

impl Provider {
    fn set(&self, credential: &'static str, does: Does) -> &Self {
        self.does.lock().expect("lock").insert(credential, does);
        self
    }

    fn circuit_breaker(&self) -> Service {
        let provider = self.clone();
        let service = tower::service_fn(move |request: Request<Bytes>| {
            let credential = String::from_utf8_lossy(request.body()).into_owned();
            let does = provider.does.lock().expect("lock");
            let does = does.get(credential.as_str()).or_else(|| does.get("*")).copied().unwrap_or(Does::Answers(200));
            provider.calls.lock().expect("lock").push(credential);
            async move {
                let response = match does {
                    Does::Answers(status) => Response::builder().status(status),
                    Does::AsksForRest(status, rest) => Response::builder().status(status).header("retry-after", rest),
                    Does::Fails(kind) => return Err(EgressError::new(kind, request.uri())),
                    Does::AnswersAfter(time) => {
                        sleep(time).await;
                        Response::builder()
                    }
                    Does::FailsAfter(time) => {
                        sleep(time).await;
                        return Err(EgressError::new(EgressErrorKind::Timeout, request.uri()));
                    }
                    Does::Hangs => future::pending().await,
                };
                Ok(response.body(Bytes::new()).expect("response"))
            }
        });
        CircuitBreaker::new(BoxCloneSyncService::new(service)).with_clock(Arc::new(TestClock::new()))
    }

    fn calls(&self) -> usize {
        self.calls.lock().expect("lock").len()
    }
}

fn request(credential: &str) -> Request<Bytes> {
    let key = CredentialKey::new(Fingerprint::of_credential(credential));
    let body = Bytes::copy_from_slice(credential.as_bytes());
    Request::post("https://idp.example.com/introspect").extension(key).body(body).expect("request")
}

async fn call(service: &Service, credential: &str) -> Result<u16, EgressError> {
    service.clone().oneshot(request(credential)).await.map(|response| response.status().as_u16())
}

fn spawn(service: &Service, credential: &str) -> JoinHandle<Result<u16, EgressError>> {
    let (service, credential) = (service.clone(), credential.to_owned());
    tokio::spawn(async move { call(&service, &credential).await })
}

async fn refused(service: &Service, credential: &str) -> (EgressErrorKind, Duration) {
    let error = call(service, credential).await.expect_err(credential);
    (error.kind(), error.retry_after().expect("a time"))
}

#[tokio::test(start_paused = true)]
async fn a_failing_credential_is_paused_for_longer_each_time_and_no_other_is() {
    for (does, while_paused) in [
        (Does::Answers(500), EgressErrorKind::BackingOff),
        (Does::Answers(429), EgressErrorKind::RateLimited),
        (Does::Fails(EgressErrorKind::Timeout), EgressErrorKind::BackingOff),
        (Does::Fails(EgressErrorKind::Transport), EgressErrorKind::BackingOff),
        (Does::Fails(EgressErrorKind::BodyTooLarge), EgressErrorKind::BackingOff),
    ] {
        let provider = Provider::default();
        let service = provider.set("junk", does).circuit_breaker();
        for (nth, seconds) in [1, 2, 4, 8, 16, 30, 30].into_iter().enumerate() {
            let (_, pause) = refused(&service, "junk").await;
            assert!(SECOND * seconds <= pause && pause < SECOND * seconds * 5 / 4, "{does:?} {nth}: {pause:?}");
            assert_eq!(refused(&service, "junk").await, (while_paused, pause));
            assert_eq!(call(&service, &format!("user-{nth}")).await.expect("another credential"), 200);
            advance(pause).await;
        }
        assert_eq!(provider.calls(), 7 + 7, "{does:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_fails_gets_two_calls_and_then_one_a_second() {
    let provider = Provider::default();
    let service = provider.set("*", Does::Answers(500)).circuit_breaker();
    // All calls at the same time.
    for second in 0..10 {
        let calls: Vec<_> = (0..100).map(|nth| spawn(&service, &format!("{second}-{nth}"))).collect();
        for call in calls {
            let error = call.await.expect("no panic").expect_err("fails");
            assert!(error.retry_after() >= Some(SECOND), "{error:?}");
        }
        assert_eq!(provider.calls(), 2 + second);
        advance(SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_without_a_connection_opens_the_circuit_at_once() {
    let provider = Provider::default();
    let service = provider.set("*", Does::Fails(EgressErrorKind::Connect)).circuit_breaker();
    for (nth, seconds) in [1, 2, 4, 8, 16, 30].into_iter().enumerate() {
        let (_, window) = refused(&service, &format!("first-{nth}")).await;
        assert!(SECOND * seconds <= window && window < SECOND * seconds * 5 / 4, "window {nth}: {window:?}");
        for other in 0..100 {
            assert_eq!(refused(&service, &format!("{nth}-{other}")).await.0, EgressErrorKind::BackingOff);
        }
        assert_eq!(provider.calls(), nth + 1);
        advance(window).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_accepted_credential_that_fails_is_evidence_against_the_provider() {
    let provider = Provider::default();
    let service = provider.circuit_breaker();
    for user in ["alice", "bob", "carol"] {
        call(&service, user).await.expect("accepted");
    }
    provider.set("*", Does::Answers(500));
    advance(SECOND).await;
    assert!(call(&service, "new").await.is_err() && call(&service, "alice").await.is_err());
    assert_eq!(provider.calls(), 3 + 2);
    let (kind, window) = refused(&service, "bob").await;
    assert!(
        kind == EgressErrorKind::BackingOff && window < SECOND * 5 / 4,
        "also with accepted credentials: {window:?}"
    );
    assert!(call(&service, "newer").await.is_err());
    assert_eq!(provider.calls(), 3 + 2);
    advance(window).await;
    let (_, window) = refused(&service, "carol").await;
    assert!(window >= SECOND * 2, "the probe, and the next window: {window:?}");
    assert!(call(&service, "bob").await.is_err());
    assert_eq!(provider.calls(), 3 + 3);
    advance(window).await;
    provider.set("*", Does::Answers(200));
    for user in ["bob", "new", "newer"] {
        call(&service, user).await.expect("the provider works again");
    }
}

#[tokio::test(start_paused = true)]
async fn new_credentials_that_fail_do_not_stop_accepted_ones() {
    let provider = Provider::default();
    let service = provider.circuit_breaker();
    call(&service, "alice").await.expect("accepted");
    advance(SECOND * 90).await;
    provider.set("*", Does::AsksForRest(503, "86400")).set("alice", Does::Answers(200)).set("bob", Does::Answers(200));
    for nth in 0..5 {
        assert!(call(&service, &format!("junk-{nth}")).await.is_err());
    }
    assert_eq!(provider.calls(), 1 + 2);
    let (_, wait) = refused(&service, "bob").await;
    assert!(wait <= SECOND * 30, "{wait:?}: a new one waits for what the provider asks, within reason");
    call(&service, "alice").await.expect("accepted before");
    call(&service, "bob").await.expect("the provider answers");
    assert_eq!(provider.calls(), 1 + 2 + 2);
}

#[tokio::test(start_paused = true)]
async fn a_failing_probe_with_a_new_credential_does_not_stop_other_credentials() {
    let provider = Provider::default();
    let service = until_half_open(&provider).await;
    provider.set("junk", Does::Answers(500));
    assert!(call(&service, "junk").await.is_err(), "the probe");
    advance(SECOND / 10).await;
    let new = spawn(&service, "newer");
    yield_now().await;
    call(&service, "bob").await.expect("accepted before");
    new.await.expect("no panic").expect("and so the provider works");
}

/// Accepts `alice` and `bob`, opens the circuit by failures, and waits for the end of the window.
async fn until_half_open(provider: &Provider) -> Service {
    let service = provider.circuit_breaker();
    for user in ["alice", "bob"] {
        call(&service, user).await.expect("accepted");
    }
    provider.set("*", Does::Answers(500));
    advance(SECOND).await;
    assert!(call(&service, "new").await.is_err());
    let (_, window) = refused(&service, "alice").await;
    advance(window).await;
    provider.set("*", Does::Answers(200));
    service
}

#[tokio::test(start_paused = true)]
async fn a_half_open_probe_that_hangs_with_a_new_credential_stops_other_calls_for_a_second_only() {
    for next in ["bob", "newer"] {
        let provider = Provider::default();
        let service = until_half_open(&provider).await;
        provider.set("hanging", Does::FailsAfter(SECOND * 10));
        let probe = spawn(&service, "hanging");
        yield_now().await;
        let calls = provider.calls();
        for _ in 0..100 {
            assert_eq!(refused(&service, next).await, (EgressErrorKind::BackingOff, SECOND), "at once");
        }
        advance(SECOND - Duration::from_millis(1)).await;
        assert!(call(&service, next).await.is_err());
        assert_eq!(provider.calls(), calls);
        advance(Duration::from_millis(1)).await;
        call(&service, next).await.expect("the provider works again");
        for user in ["bob", "newer", "newest"] {
            call(&service, user).await.expect("and the circuit is closed");
        }
        assert!(probe.await.expect("no panic").is_err());
        call(&service, "latest").await.expect("the late failure does not count");
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_hangs_in_half_open_gets_one_call_a_second_with_new_credentials() {
    let provider = Provider::default();
    let service = until_half_open(&provider).await;
    provider.set("*", Does::FailsAfter(SECOND * 10));
    let calls = provider.calls();
    let _probe = spawn(&service, "hanging");
    yield_now().await;
    for second in 1..9 {
        advance(SECOND).await;
        let _waiting: Vec<_> = (0..100).map(|nth| spawn(&service, &format!("{second}-{nth}"))).collect();
        sleep(Duration::from_millis(20)).await;
        assert_eq!(provider.calls(), calls + 1 + second);
    }
}

#[tokio::test(start_paused = true)]
async fn calls_are_refused_at_once_while_a_half_open_probe_with_an_accepted_credential_hangs() {
    let provider = Provider::default();
    let service = until_half_open(&provider).await;
    provider.set("bob", Does::FailsAfter(SECOND * 10));
    let probe = spawn(&service, "bob");
    yield_now().await;
    let calls = provider.calls();
    for _ in 0..9 {
        advance(SECOND).await;
        for user in ["alice", "newer"] {
            let before = tokio::time::Instant::now();
            assert_eq!(refused(&service, user).await, (EgressErrorKind::BackingOff, SECOND));
            assert_eq!(before.elapsed(), Duration::ZERO, "at once");
        }
    }
    assert_eq!(provider.calls(), calls, "an accepted credential that hangs is evidence against the provider");
    let error = probe.await.expect("no panic").expect_err("fails");
    assert!(error.retry_after() >= Some(SECOND * 2), "the next window: {error:?}");
}

#[tokio::test(start_paused = true)]
async fn calls_that_come_while_a_probe_is_running_wait_for_its_outcome() {
    let provider = Provider::default();
    let service =
        provider.set("junk", Does::Answers(500)).set("slow", Does::AnswersAfter(SECOND / 2)).circuit_breaker();
    assert!(call(&service, "junk").await.is_err());
    let probe = spawn(&service, "slow");
    yield_now().await;
    let waiting: Vec<_> = (0..100).map(|nth| spawn(&service, &format!("user-{nth}"))).collect();
    yield_now().await;
    assert_eq!(provider.calls(), 2);
    probe.await.expect("no panic").expect("answered");
    for call in waiting {
        call.await.expect("no panic").expect("after it");
    }
    assert_eq!(provider.calls(), 102);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_not_answered_delays_the_next_for_a_second_and_one_that_is_dropped_does_not() {
    let provider = Provider::default();
    let service = provider.set("junk", Does::Answers(500)).set("hanging", Does::Hangs).circuit_breaker();
    assert!(call(&service, "junk").await.is_err());
    let probe = spawn(&service, "hanging");
    yield_now().await;
    assert_eq!(refused(&service, "alice").await, (EgressErrorKind::BackingOff, SECOND), "waited for a second");
    call(&service, "alice").await.expect("the next probe");

    advance(SECOND * 5).await;
    assert!(call(&service, "junk").await.is_err());
    probe.abort();
    let probe = spawn(&service, "hanging");
    yield_now().await;
    let waiting = spawn(&service, "bob");
    yield_now().await;
    probe.abort();
    waiting.await.expect("no panic").expect("its place is free");
}

#[tokio::test(start_paused = true)]
async fn a_failure_does_not_count_if_the_provider_answered_another_call_meanwhile() {
    let provider = Provider::default();
    let service = provider.set("*", Does::FailsAfter(SECOND * 10)).set("alice", Does::Answers(200)).circuit_breaker();
    let late: Vec<_> = (0..10).map(|nth| spawn(&service, &format!("junk-{nth}"))).collect();
    yield_now().await;
    advance(SECOND).await;
    call(&service, "alice").await.expect("answered");
    for call in late {
        assert!(call.await.expect("no panic").is_err());
    }
    provider.set("*", Does::Answers(200));
    let others: Vec<_> = (0..10).map(|nth| spawn(&service, &format!("user-{nth}"))).collect();
    yield_now().await;
    assert_eq!(provider.calls(), 21, "none waits");
    for call in others {
        call.await.expect("no panic").expect("goes out");
    }
}

/// Sends as a component that judges responses: a credential with `working` in its name is accepted, any other is refused.
async fn send(service: &Service, credential: &str) -> Result<(), EgressError> {
    let is_accepted = credential.contains("working");
    let refused = Answer::Refused { pause: SECOND * 5 };
    service.send(request(credential), |_| ((), if is_accepted { Answer::Accepted } else { refused })).await
}

#[tokio::test(start_paused = true)]
async fn refusals_of_many_credentials_with_none_accepted_lately_may_be_about_this_server() {
    let provider = Provider::default();
    let service = provider.circuit_breaker();
    for nth in 0..25 {
        let sent = send(&service, &format!("dead-{nth}")).await;
        assert_eq!(sent.is_ok(), nth < 16, "{nth}");
    }
    assert_eq!(provider.calls(), 16);
    let error = send(&service, "dead-25").await.expect_err("not sent");
    assert_eq!((error.kind(), error.retry_after()), (EgressErrorKind::ClientRefused, Some(SECOND)));
    // One new credential a second is the probe.
    advance(SECOND / 2).await;
    send(&service, "working-0").await.expect("after half a second more");
    for nth in 30..60 {
        send(&service, &format!("dead-{nth}")).await.expect("this server was accepted lately");
    }
    assert!(send(&service, "dead-30").await.is_err(), "but a refused credential is paused");
    advance(SECOND * 60).await;
    for nth in 60..90 {
        assert_eq!(send(&service, &format!("dead-{nth}")).await.is_ok(), nth < 76, "{nth}: that was long ago");
    }
}

fn spawn_from(service: &Service, source: RequestSource, credential: &str) -> JoinHandle<Result<u16, EgressError>> {
    let mut request = request(credential);
    request.extensions_mut().insert(source);
    let service = service.clone();
    tokio::spawn(async move { service.oneshot(request).await.map(|response| response.status().as_u16()) })
}

#[tokio::test(start_paused = true)]
async fn calls_of_one_source_wait_in_bounded_number_for_its_running_calls() {
    let provider = Provider::default();
    let service = provider.set("*", Does::AnswersAfter(2 * SECOND)).circuit_breaker();
    let source = |address: &str| RequestSource::new(address.parse().expect("an address"));
    let (busy, other) = (source("192.0.2.1"), source("192.0.2.2"));
    let calls: Vec<_> = (0..4_296).map(|nth| spawn_from(&service, busy, &format!("user-{nth}"))).collect();
    sleep(SECOND / 2).await;
    assert_eq!(provider.calls(), 100, "one burst");
    let refused = calls.iter().filter(|call| call.is_finished()).count();
    assert_eq!(refused, 100, "4096 wait");
    let others: Vec<_> = (0..50).map(|nth| spawn_from(&service, other, &format!("other-{nth}"))).collect();
    sleep(SECOND / 2).await;
    assert_eq!(provider.calls(), 150, "another source does not wait for this one");

    sleep(SECOND * 4).await;
    let places = provider.calls() - 150;
    assert!(
        (200..210).contains(&places),
        "accepted calls make room for those that wait, twice within their 5 s: {places}"
    );
    let mut accepted = 0;
    for call in calls {
        match call.await.expect("no panic") {
            Ok(status) => accepted += usize::from(status == 200),
            Err(error) => assert_eq!(error.kind(), EgressErrorKind::SourceLimited, "{error}"),
        }
    }
    assert_eq!(accepted, 100 + places);
    for call in others {
        assert_eq!(call.await.expect("no panic").expect("an answer"), 200);
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_over_its_limit_does_not_wait_for_the_calls_of_another_source() {
    let provider = Provider::default();
    let service = provider.set("*", Does::Answers(401)).set("slow", Does::Hangs).circuit_breaker();
    let source = |address: &str| RequestSource::new(address.parse().expect("an address"));
    let slow = spawn_from(&service, source("192.0.2.2"), "slow");
    for nth in 0..100 {
        let status = spawn_from(&service, source("192.0.2.1"), &format!("junk-{nth}")).await.expect("no panic");
        assert_eq!(status.expect("an answer"), 401);
    }
    let refused = spawn_from(&service, source("192.0.2.1"), "one-more");
    sleep(SECOND / 100).await;
    assert!(refused.is_finished(), "it waits for a call that cannot make room for it");
    let refused = refused.await.expect("no panic").expect_err("the limit");
    assert_eq!(refused.kind(), EgressErrorKind::SourceLimited);
    slow.abort();
}

/// A request for the profile of the user of `token`.
fn profile(token: &str) -> Request<Bytes> {
    let request = Request::get("https://idp.example.com/userinfo").header("authorization", format!("Bearer {token}"));
    request.body(Bytes::from(token.to_owned())).expect("request")
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_a_user_that_only_the_body_names_pauses_that_token_alone() {
    let provider = Provider::default();
    let service = provider.set("limited", Does::Answers(403)).circuit_breaker();
    let judge = |response: Response<Bytes>| {
        let answer = match response.status().as_u16() {
            200 => Answer::Accepted,
            _ => Answer::Failed { kind: EgressErrorKind::RateLimited, retry_after: Some(60 * SECOND) },
        };
        (response.status().as_u16(), answer)
    };
    for nth in 0..3 {
        let refused = service.send(profile("limited"), judge).await;
        if nth == 0 {
            assert_eq!(refused.expect("the response"), 403);
        } else {
            let error = refused.expect_err("paused");
            assert_eq!(error.kind(), EgressErrorKind::RateLimited);
            assert!(error.retry_after().expect("a time") >= 60 * SECOND);
        }
        assert_eq!(service.send(profile(&format!("other-{nth}")), judge).await.expect("another user"), 200);
    }
    assert_eq!(provider.calls(), 1 + 3);
}

#[tokio::test(start_paused = true)]
async fn a_limit_without_retry_after_lasts_until_its_reset() {
    let reset = (TestClock::START + 90 * SECOND).as_secs();
    let limited = tower::service_fn(move |_: Request<Bytes>| async move {
        let response = Response::builder().status(403).header("x-ratelimit-remaining", "0");
        Ok::<_, EgressError>(response.header("x-ratelimit-reset", reset).body(Bytes::new()).expect("response"))
    });
    let service = CircuitBreaker::new(BoxCloneSyncService::new(limited)).with_clock(Arc::new(TestClock::new()));
    let response = service.clone().oneshot(profile("limited")).await.expect("the response");
    assert_eq!(
        (response.status().as_u16(), &response.headers()["retry-after"]),
        (403, &"90".parse().expect("a value"))
    );
    let error = service.clone().oneshot(profile("limited")).await.expect_err("paused");
    assert_eq!(error.kind(), EgressErrorKind::RateLimited);
    let pause = error.retry_after().expect("a time");
    assert!(90 * SECOND <= pause && pause < 113 * SECOND, "{pause:?}");
}
