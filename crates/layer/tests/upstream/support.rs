//! A grant that a test controls, and an auth layer that accepts its user.

use std::{
    future::{Ready, ready},
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt as _, Full};
use portcullis_core::{
    AccessToken, AuthError, BearerToken, Challenge, Generation, Issuer, Reason, ResourceUri, Revocation, Upstream,
    UpstreamFuture, UpstreamSource, UserContext,
};
use portcullis_layer::AuthConfig;
use portcullis_oauth::protected_resource::ProtectedResourceMetadata;
use tower_service::Service;

/// Issues tokens named `token-0`, `token-1` and so on; a report of a rejected token issues the next.
#[derive(Clone, Debug, Default)]
pub(crate) struct Grant(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    failure: Option<Reason>,
    delay: Duration,
    asked: usize,
    generation: u64,
    end: Arc<Revocation>,
}

impl Grant {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().expect("lock")
    }

    /// Rejects every request for a token.
    pub(crate) fn fails(self, reason: Reason) -> Self {
        self.state().failure = Some(reason);
        self
    }

    /// Delays every token.
    pub(crate) fn takes(self, delay: Duration) -> Self {
        self.state().delay = delay;
        self
    }

    /// Ends the grant and notifies.
    pub(crate) fn ends(&self) {
        self.state().failure = Some(Reason::GrantEnded);
        self.state().end.revoke();
    }

    pub(crate) fn asked(&self) -> usize {
        self.state().asked
    }
}

impl UpstreamSource for Grant {
    fn access_token(&self, refused: Option<Generation>) -> UpstreamFuture {
        let mut state = self.state();
        state.asked += 1;
        if refused == Some(Generation::new(state.generation)) {
            state.generation += 1;
        }
        let generation = Generation::new(state.generation);
        let token = BearerToken::new(&format!("token-{generation}")).expect("token");
        let outcome = state.failure.map_or(Ok(AccessToken::new(token, generation, None)), |reason| Err(reason.into()));
        let delay = state.delay;
        if delay.is_zero() {
            return UpstreamFuture::ready(outcome);
        }
        UpstreamFuture::waiting(async move {
            tokio::time::sleep(delay).await;
            outcome
        })
    }

    fn revocation(&self) -> Option<Arc<Revocation>> {
        Some(Arc::clone(&self.state().end))
    }
}

/// Verifies one user, with a grant if there is one.
#[derive(Clone, Debug)]
pub(crate) struct Verifier(Option<Grant>);

impl Service<BearerToken> for Verifier {
    type Response = Arc<UserContext>;
    type Error = AuthError;
    type Future = Ready<Result<Arc<UserContext>, AuthError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), AuthError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: BearerToken) -> Self::Future {
        let user = UserContext::builder(Issuer::new("https://idp.example.com").expect("issuer"), "alice");
        ready(match &self.0 {
            Some(grant) if grant.state().end.is_revoked() => Err(Reason::GrantEnded.into()),
            Some(grant) => Ok(Arc::new(user.with_upstream(Upstream::new(grant.clone())).build())),
            None => Ok(Arc::new(user.build())),
        })
    }
}

pub(crate) fn config(grant: impl Into<Option<Grant>>) -> AuthConfig<Verifier> {
    let resource = ResourceUri::new("https://mcp.example.com/mcp").expect("resource");
    let issuer = Issuer::new("https://idp.example.com").expect("issuer");
    AuthConfig::new(ProtectedResourceMetadata::new(resource, issuer), Verifier(grant.into()))
}

pub(crate) fn request<B: Default>(method: &str) -> Request<B> {
    let request = Request::builder().method(method).uri("/mcp").header("authorization", "Bearer ours");
    request.body(B::default()).expect("request")
}

/// The response to a client.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The `error` and `scope` of the challenge.
    pub(crate) challenge: Option<(String, Option<String>)>,
    pub(crate) retry_after: bool,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) async fn of<C: Body<Error: std::fmt::Debug>>(response: Response<C>) -> Self {
        let headers = response.headers();
        let challenge = headers.get("www-authenticate").map(|value| {
            let challenge = Challenge::parse(value.to_str().expect("text")).expect("well-formed").remove(0);
            assert!(challenge.param("resource_metadata").is_some());
            let param = |name| challenge.param(name).map(ToOwned::to_owned);
            (param("error").expect("an error"), param("scope"))
        });
        let (status, retry_after) = (response.status().as_u16(), headers.contains_key("retry-after"));
        let body = response.into_body().collect().await.expect("body").to_bytes();
        Self { status, challenge, retry_after, body: String::from_utf8(body.to_vec()).expect("text") }
    }

    #[track_caller]
    pub(crate) fn assert_passed(&self, body: &str) {
        assert_eq!((self.status, &*self.body, &self.challenge), (200, body, &None));
    }

    #[track_caller]
    pub(crate) fn assert_login_demanded(&self) {
        assert_eq!((self.status, self.retry_after), (401, false), "{self:?}");
        assert_eq!(self.challenge, Some(("invalid_token".to_owned(), None)));
    }

    #[track_caller]
    pub(crate) fn assert_unavailable(&self) {
        assert_eq!((self.status, self.retry_after, &self.challenge), (503, true, &None), "{self:?}");
    }
}

pub(crate) type Plain = Full<Bytes>;
