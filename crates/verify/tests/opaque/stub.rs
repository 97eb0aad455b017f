//! A provider made of fixed answers.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use portcullis_core::{AuthError, BearerToken, Clock, Issuer, ResourceUri, UnixTime, UserContext, VerifyToken};
use portcullis_egress::Egress;
use portcullis_oauth::{ClientAuthentication, introspection::IntrospectionPolicy};
use portcullis_test_support::LogCapture;
use portcullis_verify::IntrospectionVerifier;
use serde_json::{Value, json};
use tower::ServiceExt as _;

pub(crate) const ISSUER: &str = "https://idp.example";
pub(crate) const RESOURCE: &str = "https://mcp.example/mcp";
pub(crate) const SECRET: &str = "planted-client-secret";
pub(crate) const TOKEN: &str = "planted-access-token";
pub(crate) const NOW: u64 = 1_800_000_000;

/// Answers by path, counts the calls, and takes 50 ms for each.
#[derive(Clone, Default)]
pub(crate) struct Stub {
    answers: Arc<Mutex<HashMap<String, Answer>>>,
    calls: Arc<Mutex<Vec<String>>>,
    panics: Arc<AtomicBool>,
}

#[derive(Clone)]
struct Answer {
    status: u16,
    headers: Vec<(&'static str, &'static str)>,
    body: String,
}

impl Stub {
    /// A provider whose metadata names every endpoint and whose every user is alice.
    pub(crate) fn new() -> Self {
        LogCapture::install();
        let stub = Self::default();
        stub.answer(
            "/.well-known/oauth-authorization-server",
            200,
            &json!({
                "issuer": ISSUER, "introspection_endpoint": format!("{ISSUER}/introspect"),
                "userinfo_endpoint": format!("{ISSUER}/userinfo"),
            }),
        );
        stub.answer("/introspect", 200, &active());
        stub.answer("/userinfo", 200, &json!({"sub": "alice", "email": "alice@example.test"}));
        stub
    }

    pub(crate) fn answer(&self, path: &str, status: u16, body: &Value) {
        let headers = vec![("content-type", "application/json")];
        self.put(path, Answer { status, headers, body: body.to_string() });
    }

    pub(crate) fn answer_text(&self, path: &str, status: u16, headers: &[(&'static str, &'static str)], body: &str) {
        self.put(path, Answer { status, headers: headers.to_vec(), body: body.to_owned() });
    }

    fn put(&self, path: &str, answer: Answer) {
        self.answers.lock().expect("lock").insert(path.to_owned(), answer);
    }

    /// The next call panics, as a service of the user's own may.
    pub(crate) fn panic_next(&self) {
        self.panics.store(true, Ordering::Relaxed);
    }

    pub(crate) fn calls(&self, path: &str) -> usize {
        self.calls.lock().expect("lock").iter().filter(|called| *called == path).count()
    }

    pub(crate) fn all_calls(&self) -> usize {
        self.calls.lock().expect("lock").len()
    }

    pub(crate) fn egress(&self) -> Egress {
        let stub = self.clone();
        Egress::from_service(tower::service_fn(move |request: Request<Bytes>| {
            let stub = stub.clone();
            async move {
                let path = request.uri().path().to_owned();
                assert!(!stub.panics.swap(false, Ordering::Relaxed), "the provider was told to panic");
                stub.calls.lock().expect("lock").push(path.clone());
                tokio::time::sleep(Duration::from_millis(50)).await;
                let answer = stub.answers.lock().expect("lock").get(&path).cloned();
                let answer = answer.unwrap_or(Answer { status: 404, headers: Vec::new(), body: String::new() });
                let mut response = Response::builder().status(answer.status);
                for (name, value) in answer.headers {
                    response = response.header(name, value);
                }
                Ok::<_, Infallible>(response.body(Bytes::from(answer.body)).expect("response"))
            }
        }))
    }
}

/// What the provider says about a good token.
pub(crate) fn active() -> Value {
    json!({
        "active": true, "sub": "alice", "client_id": "app", "aud": RESOURCE, "exp": NOW + 300, "scope": "mcp:read",
    })
}

#[derive(Debug)]
pub(crate) struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> UnixTime {
        UnixTime::from_secs(NOW)
    }
}

pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(FixedClock)
}

pub(crate) fn issuer(text: &str) -> Issuer {
    Issuer::new(text).expect(text)
}

pub(crate) fn client() -> ClientAuthentication {
    ClientAuthentication::basic("gate", SECRET.into())
}

pub(crate) fn introspection(stub: &Stub) -> IntrospectionVerifier {
    let policy = IntrospectionPolicy::new(issuer(ISSUER), ResourceUri::new(RESOURCE).expect("resource"));
    IntrospectionVerifier::new(policy, client(), stub.egress()).with_clock(clock())
}

/// What `verifier` makes of the token `text`.
pub(crate) async fn verify<V: VerifyToken>(verifier: V, text: &str) -> Result<Arc<UserContext>, AuthError> {
    verifier.oneshot(BearerToken::new(text).expect(text)).await
}
