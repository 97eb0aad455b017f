//! A verifier that parses the text of a token, and shared helpers.

use std::{
    collections::HashMap,
    future::{Ready, ready},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header::AUTHORIZATION};
use http_body_util::{BodyExt as _, Full};
use portcullis_core::{
    AuthError, BearerToken, Challenge, Clock as _, Issuer, Reason, ResourceUri, ScopeSet, UnixTime, UserContext,
};
use portcullis_layer::{AuthConfig, ResponseBody};
use portcullis_oauth::protected_resource::ProtectedResourceMetadata;
use portcullis_testkit::TestClock;
use tower_service::Service;

pub(crate) const RESOURCE: &str = "https://mcp.example.com/mcp";
pub(crate) const METADATA: &str = "https://mcp.example.com/.well-known/oauth-protected-resource/mcp";

/// Verifies tokens of the form `subject`, `subject.client` or `subject.client.scope~scope`; `junk` is rejected and `down` is
/// unavailable. Tokens expire an hour after their first use. Contexts are stored, so that a test can revoke them.
#[derive(Clone, Debug)]
pub(crate) struct Verifier {
    pub(crate) calls: Arc<AtomicUsize>,
    pub(crate) clock: TestClock,
    pub(crate) known: Arc<std::sync::Mutex<Vec<Arc<UserContext>>>>,
    first_seen: Arc<std::sync::Mutex<HashMap<String, UnixTime>>>,
}

impl Verifier {
    pub(crate) fn new() -> Self {
        Self { calls: Arc::default(), clock: TestClock::new(), known: Arc::default(), first_seen: Arc::default() }
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }

    fn verify(&self, token: &str) -> Result<Arc<UserContext>, AuthError> {
        match token {
            "junk" => return Err(Reason::BadSignature.into()),
            "down" => {
                let error = AuthError::new(Reason::ProviderTimeout).with_retry_after(Duration::from_millis(6500));
                return Err(error.with_source("connection to 10.0.0.7 timed out"));
            }
            "mute" => return Err(Reason::KeySetUnavailable.into()),
            _ => {}
        }
        let mut first_seen = self.first_seen.lock().expect("lock");
        let first_seen = *first_seen.entry(token.to_owned()).or_insert_with(|| self.clock.now());
        let mut parts = token.split('.');
        let issuer = Issuer::new("https://idp.example.com").expect("issuer");
        let mut user = UserContext::builder(issuer, parts.next().expect("subject"))
            .with_expires_at(first_seen + Duration::from_hours(1));
        if let Some(client) = parts.next() {
            user = user.with_client_id(client);
        }
        if let Some(scopes) = parts.next() {
            user = user.with_scopes(ScopeSet::new(scopes.split('~').map(|s| s.replace('-', ":"))).expect("scopes"));
        }
        let user = Arc::new(user.build());
        self.known.lock().expect("lock").push(Arc::clone(&user));
        Ok(user)
    }
}

impl Service<BearerToken> for Verifier {
    type Response = Arc<UserContext>;
    type Error = AuthError;
    type Future = Ready<Result<Arc<UserContext>, AuthError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), AuthError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, token: BearerToken) -> Self::Future {
        self.calls.fetch_add(1, SeqCst);
        ready(self.verify(token.expose_secret()))
    }
}

pub(crate) fn metadata() -> ProtectedResourceMetadata {
    let resource = ResourceUri::new(RESOURCE).expect("resource");
    ProtectedResourceMetadata::new(resource, Issuer::new("https://idp.example.com").expect("issuer"))
}

pub(crate) fn config(verifier: &Verifier) -> AuthConfig<Verifier> {
    AuthConfig::new(metadata(), verifier.clone()).with_clock(Arc::new(verifier.clock.clone()))
}

pub(crate) type Body = Full<Bytes>;

/// Creates a request to the MCP endpoint with `token`, or without one if it is empty.
pub(crate) fn request(method: &str, token: &str) -> Request<Body> {
    let mut request = Request::builder().method(method).uri("/mcp");
    if !token.is_empty() {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    request.body(Body::default()).expect("request")
}

/// The response of an inner service: the name of the user.
pub(crate) async fn whoami<B>(request: Request<B>) -> Result<Response<Body>, std::convert::Infallible> {
    let user = request.extensions().get::<Arc<UserContext>>();
    let name = user.map_or_else(|| "anonymous".to_owned(), |user| user.subject().to_owned());
    Ok(Response::new(Body::from(name)))
}

/// Returns the only challenge of a response.
pub(crate) fn challenge<B>(response: &Response<B>) -> Challenge {
    let values: Vec<_> = response.headers().get_all("www-authenticate").iter().collect();
    assert_eq!(values.len(), 1, "one challenge");
    let mut challenges = Challenge::parse(values[0].to_str().expect("text")).expect("well-formed");
    assert_eq!(challenges.len(), 1, "one challenge");
    challenges.remove(0)
}

pub(crate) async fn text(response: Response<ResponseBody<Body>>) -> (StatusCode, String) {
    let status = response.status();
    let body = response.into_body().collect().await.expect("body").to_bytes();
    (status, String::from_utf8(body.to_vec()).expect("text"))
}
