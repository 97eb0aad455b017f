//! The effect of one token on a provider has no effect on other tokens.

use std::{
    future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, Uri};
use portcullis_core::{BearerToken, Reason, ResourceUri, VerifyToken};
use portcullis_egress::{Egress, EgressError, EgressErrorKind};
use portcullis_oauth::{ClientAuthentication, introspection::IntrospectionPolicy, providers::Provider as GitHub};
use portcullis_verify::{AudienceCheck, IntrospectionVerifier, UserInfoEndpoint, UserInfoVerifier, danger};
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until};
use tower::ServiceExt as _;

use super::stub::{ISSUER, RESOURCE, SECRET, active, clock, issuer};

const SECOND: Duration = Duration::from_secs(1);
const SECONDS: u32 = 60;

/// How the provider treats a request that presents a token with `junk` in its name.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Status(u16, &'static str),
    Timeout,
    TooLarge,
    Connect,
}

const FAULTS: [Fault; 8] = [
    Fault::Status(401, ""),
    Fault::Status(401, r#"{"error":"invalid_token"}"#),
    Fault::Status(403, ""),
    Fault::Status(400, r#"{"error":"invalid_request"}"#),
    Fault::Status(500, ""),
    Fault::Status(429, ""),
    Fault::Timeout,
    Fault::TooLarge,
];

/// A provider that answers every token in 20 ms, except those with `junk` in their names, or all, which cause a fault.
#[derive(Clone)]
struct Provider {
    fault: Fault,
    is_down: bool,
    calls: Arc<AtomicUsize>,
}

impl Provider {
    fn new(fault: Fault) -> Self {
        Self { fault, is_down: false, calls: Arc::default() }
    }

    fn down(fault: Fault) -> Self {
        Self { is_down: true, ..Self::new(fault) }
    }

    fn calls(&self) -> usize {
        self.calls.load(Relaxed)
    }

    fn egress(&self) -> Egress {
        let provider = self.clone();
        Egress::from_service(tower::service_fn(move |request| provider.clone().answer(request)))
    }

    async fn answer(self, request: Request<Bytes>) -> Result<Response<Bytes>, EgressError> {
        self.calls.fetch_add(1, Relaxed);
        sleep(Duration::from_millis(20)).await;
        let presented = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        let presented = format!("{} {}", presented.unwrap_or_default(), String::from_utf8_lossy(request.body()));
        let (status, body) = match self.fault {
            _ if !self.is_down && !presented.contains("junk") => (200, user_at(request.uri().path())),
            Fault::Status(status, body) => (status, body.to_owned()),
            Fault::Timeout => future::pending().await,
            Fault::TooLarge => return Err(EgressError::new(EgressErrorKind::BodyTooLarge, request.uri())),
            Fault::Connect => return Err(EgressError::new(EgressErrorKind::Connect, request.uri())),
        };
        let response = Response::builder().status(status).header("content-type", "application/json");
        Ok(response.body(Bytes::from(body)).expect("response"))
    }
}

fn user_at(path: &str) -> String {
    match path {
        "/introspect" => active().to_string(),
        "/check" => json!({"app": {"client_id": "app"}, "user": {"id": 7}, "scopes": []}).to_string(),
        _ => json!({"sub": "alice", "id": 7, "email": "alice@example.test"}).to_string(),
    }
}

fn introspection(provider: &Provider) -> IntrospectionVerifier {
    let policy = IntrospectionPolicy::new(issuer(ISSUER), ResourceUri::new(RESOURCE).expect("resource"));
    let client = ClientAuthentication::basic("gate", SECRET.into());
    IntrospectionVerifier::new(policy, client, provider.egress())
        .with_clock(clock())
        .with_endpoint(Uri::from_static("https://idp.example/introspect"))
}

fn github() -> GitHub {
    GitHub::github()
        .with_issuer(issuer(ISSUER))
        .with_userinfo_endpoint(Uri::from_static("https://idp.example/userinfo"))
        .with_token_check_endpoint(Uri::from_static("https://idp.example/check"))
}

fn user_info(provider: &Provider, check: AudienceCheck) -> UserInfoVerifier {
    let endpoint = UserInfoEndpoint::of_provider(github(), provider.egress()).with_clock(clock());
    UserInfoVerifier::new(endpoint, check).expect("verifier")
}

fn token_check(provider: &Provider) -> UserInfoVerifier {
    let client = ClientAuthentication::basic("app", SECRET.into());
    let check =
        AudienceCheck::token_check(github(), client, provider.egress()).expect("GitHub has it").with_clock(clock());
    user_info(provider, check)
}

/// A junk token in each `junk_every`, and a new token of a user in each `user_every`, for a minute: how many of the users' tokens are
/// accepted, of how many.
async fn accepted<V>(verifier: V, junk_every: Duration, user_every: Duration) -> (usize, usize)
where
    V: VerifyToken<Future: Send> + Clone + Send + 'static,
{
    let start = Instant::now();
    let call = |name: String, at: Duration| {
        let verifier = verifier.clone();
        tokio::spawn(async move {
            sleep_until(start + at).await;
            verifier.oneshot(BearerToken::new(&name).expect("token")).await
        })
    };
    let times = |every: Duration, phase: Duration| {
        (0..).map(move |nth| every * nth + phase).take_while(|at| *at < SECOND * SECONDS)
    };
    for (nth, at) in times(junk_every, Duration::ZERO).enumerate() {
        drop(call(format!("junk-{nth}"), at));
    }
    let users: Vec<_> =
        times(user_every, SECOND / 2).enumerate().map(|(nth, at)| call(format!("user-{nth}"), at)).collect();
    let (of, mut accepted) = (users.len(), 0);
    for user in users {
        accepted += usize::from(user.await.expect("no panic").is_ok());
    }
    (accepted, of)
}

#[tokio::test(start_paused = true)]
async fn one_invalid_token_a_second_does_not_stop_the_tokens_of_users() {
    for fault in FAULTS {
        for (user_every, of) in [(SECOND / 5, 298), (SECOND, 60), (SECOND * 3, 20), (SECOND * 15, 4)] {
            let verifiers = [
                accepted(introspection(&Provider::new(fault)), SECOND, user_every).await,
                accepted(user_info(&Provider::new(fault), danger::any_audience()), SECOND, user_every).await,
                accepted(token_check(&Provider::new(fault)), SECOND, user_every).await,
            ];
            assert_eq!(verifiers, [(of, of); 3], "{fault:?}, a user in {user_every:?}");
        }
    }
}

/// How many calls there are for ten new tokens a second, in a minute.
async fn calls_in_a_minute(provider: Provider) -> usize {
    let verifier = introspection(&provider);
    for nth in 0..SECONDS * 10 {
        let token = BearerToken::new(&format!("user-{nth}")).expect("token");
        let refused = tokio::spawn(verifier.clone().oneshot(token));
        sleep(SECOND / 10).await;
        drop(refused);
    }
    provider.calls()
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_down_or_refuses_this_server_gets_few_calls_whatever_tokens_come() {
    // One call each second: none of the tokens was accepted before, so they may be what fails.
    for fault in [Fault::Status(500, ""), Fault::Status(429, ""), Fault::TooLarge] {
        let calls = calls_in_a_minute(Provider::down(fault)).await;
        assert!((50..=62).contains(&calls), "{fault:?}: {calls}");
    }
    // For the first 10 s no call has failed yet.
    let calls = calls_in_a_minute(Provider::down(Fault::Timeout)).await;
    assert!((100..=152).contains(&calls), "{calls}");
    // Windows of 1, 2, 4, 8, 16 and 30 s, and up to a quarter more.
    let calls = calls_in_a_minute(Provider::down(Fault::Connect)).await;
    assert!((5..=6).contains(&calls), "{calls}");
    // Every 5 s.
    let calls = calls_in_a_minute(Provider::down(Fault::Status(401, r#"{"error":"invalid_client"}"#))).await;
    assert_eq!(calls, 12);
}

#[tokio::test(start_paused = true)]
async fn an_introspection_endpoint_that_answers_invalid_token_refuses_that_token() {
    let provider = Provider::new(Fault::Status(401, r#"{"error":"invalid_token"}"#));
    let verifier = introspection(&provider);
    let refusal = verifier.clone().oneshot(BearerToken::new("junk").expect("token")).await.expect_err("dead");
    assert_eq!(refusal.reason(), Reason::Inactive);

    let provider = Provider::new(Fault::Status(401, ""));
    let verifier = introspection(&provider);
    for _ in 0..20 {
        let refusal = verifier.clone().oneshot(BearerToken::new("junk").expect("token")).await.expect_err("unclear");
        assert_eq!(refusal.reason(), Reason::ClientRefused);
        assert!(refusal.is_transient() && refusal.retry_after().is_some());
    }
    assert_eq!(provider.calls(), 1, "presented once in 5 s");
}
