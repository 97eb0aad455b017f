//! A server of streams behind the auth layer, and its identity provider.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, header::AUTHORIZATION};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Empty};
use portcullis_core::{Clock, Issuer, ResourceUri};
use portcullis_egress::Egress;
use portcullis_layer::{Auth, AuthConfig, ResponseBody};
use portcullis_oauth::{
    ClientAuthentication, introspection::IntrospectionPolicy, protected_resource::ProtectedResourceMetadata,
};
use portcullis_testkit::{Endpoint, IdentityProvider, TestClock};
use portcullis_verify::{Cache, CacheConfig, IntrospectionVerifier};
use tokio::time::{Instant, timeout};
use tower::ServiceExt as _;

/// The time to live of a context, from which up to a tenth is subtracted.
pub(crate) const TTL: Duration = Duration::from_mins(5);

/// A body that is always pending, like an idle event stream.
pub(crate) struct Idle;

impl http_body::Body for Idle {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        std::task::Poll::Pending
    }
}

pub(crate) type Stream = ResponseBody<Idle>;

/// An identity provider, and functions to open streams with its tokens.
pub(crate) struct World {
    pub(crate) provider: IdentityProvider,
    clock: Arc<dyn Clock>,
}

impl World {
    pub(crate) fn new() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(TestClock::new());
        Self { provider: IdentityProvider::new().with_clock(Arc::clone(&clock)), clock }
    }

    /// Creates a token of `subject` without an expiry.
    pub(crate) fn token(&self, subject: &str) -> String {
        self.provider.token(subject).without_claim("exp").opaque()
    }

    /// Returns the number of introspection requests.
    pub(crate) fn introspections(&self) -> usize {
        self.provider.calls(Endpoint::Introspection)
    }

    pub(crate) fn verifier(&self) -> IntrospectionVerifier {
        let issuer = Issuer::new(&self.provider.issuer()).expect("an issuer");
        let resource = ResourceUri::new(IdentityProvider::AUDIENCE).expect("a resource");
        let client = ClientAuthentication::basic(IdentityProvider::CLIENT_ID, IdentityProvider::CLIENT_SECRET.into());
        let policy = IntrospectionPolicy::new(issuer, resource);
        IntrospectionVerifier::new(policy, client, Egress::from_service(self.provider.clone()))
            .with_clock(Arc::clone(&self.clock))
    }

    pub(crate) fn cache(&self) -> CacheConfig {
        CacheConfig::new().with_ttl(TTL).with_clock(Arc::clone(&self.clock))
    }

    pub(crate) fn cached(&self) -> AuthConfig<Cache<IntrospectionVerifier>> {
        self.config(Cache::around(self.verifier(), self.cache()))
    }

    pub(crate) fn config<V>(&self, verifier: V) -> AuthConfig<V> {
        let issuer = Issuer::new(&self.provider.issuer()).expect("an issuer");
        let resource = ResourceUri::new(IdentityProvider::AUDIENCE).expect("a resource");
        AuthConfig::new(ProtectedResourceMetadata::new(resource, issuer), verifier).with_clock(Arc::clone(&self.clock))
    }
}

/// Opens an idle event stream with `token`.
pub(crate) async fn open<V>(config: &AuthConfig<V>, token: &str) -> Stream
where
    V: portcullis_core::VerifyToken<Future: Send> + Clone + Send + 'static,
{
    let inner = tower::service_fn(async |_: Request<Empty<Bytes>>| {
        let response = Response::builder().header("content-type", "text/event-stream");
        Ok::<_, Infallible>(response.body(Idle).expect("a response"))
    });
    let request = Request::get("/mcp").header(AUTHORIZATION, format!("Bearer {token}"));
    let response = Auth::new(inner, config.clone()).oneshot(request.body(Empty::new()).expect("a request")).await;
    let response = response.expect("a response");
    assert_eq!(response.status(), 200);
    response.into_body()
}

/// Returns the seconds after which `stream` ends; `None` if it is open after `patience`.
pub(crate) async fn end_of(stream: &mut Stream, patience: Duration) -> Option<u64> {
    let begun = Instant::now();
    let frame = timeout(patience, stream.frame()).await.ok()?;
    assert!(frame.is_none(), "an end, not an error");
    assert!(stream.is_end_stream(), "and it stays ended");
    Some(begun.elapsed().as_secs())
}
