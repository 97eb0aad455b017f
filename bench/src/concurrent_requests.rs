//! [`ConcurrentRequests`]: an authentication layer, its callers' responses and their times, and the calls of the provider.

use std::{convert::Infallible, error::Error, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Response, StatusCode, header::RETRY_AFTER};
use http_body_util::Full;
use portcullis::{
    Auth, AuthConfig, Issuer, ResourceUri,
    egress::Egress,
    oauth::{ClientAuthentication, introspection::IntrospectionPolicy},
    types::{Clock, SystemClock},
    verify::{Cache, CacheConfig, IntrospectionVerifier},
};
use portcullis_testkit::{Endpoint, IdentityProvider};
use tokio::time::Instant;
use tower::{Service, ServiceExt};

use crate::{
    mcp::{Bare, bearer, request},
    provider::metadata,
};

/// An authentication layer that introspects each token once, at a provider without a network in between.
#[derive(Clone)]
pub(crate) struct ConcurrentRequests {
    /// The provider.
    pub(crate) provider: IdentityProvider,
    /// The authentication layer.
    pub(crate) gate: Auth<Bare, Cache<IntrospectionVerifier>>,
}

/// The response to one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: StatusCode,
    /// The value of `Retry-After`, in seconds.
    pub(crate) retry_after: Option<u64>,
    /// The time until the response.
    pub(crate) after: Duration,
}

impl ConcurrentRequests {
    /// Creates a layer whose provider takes `latency` for an introspection.
    pub(crate) async fn new(latency: Duration) -> Result<Self, Box<dyn Error>> {
        let provider = IdentityProvider::new();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let policy = IntrospectionPolicy::new(
            Issuer::new(IdentityProvider::ISSUER)?,
            ResourceUri::new(IdentityProvider::AUDIENCE)?,
        );
        let client =
            ClientAuthentication::basic(IdentityProvider::CLIENT_ID, IdentityProvider::CLIENT_SECRET.to_owned().into());
        let egress = Egress::from_service(provider.clone());
        let verifier = IntrospectionVerifier::new(policy, client, egress).with_clock(clock);
        let gate = Auth::new(Bare, AuthConfig::new(metadata()?, Cache::around(verifier, CacheConfig::new())));
        let concurrent = Self { provider, gate };
        // The first call fetches the provider's metadata.
        assert_eq!(concurrent.call(concurrent.token()).await.status, StatusCode::OK);
        concurrent.provider.set_latency(Endpoint::Introspection, latency);
        Ok(concurrent)
    }

    /// Returns a new token.
    pub(crate) fn token(&self) -> String {
        self.provider.token("alice").with_scope("mcp:use").opaque()
    }

    /// Returns `count` new tokens.
    pub(crate) fn tokens(&self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.token()).collect()
    }

    /// Returns the number of introspections.
    pub(crate) fn calls(&self) -> usize {
        self.provider.calls(Endpoint::Introspection)
    }

    /// Sends one request with `token`.
    pub(crate) async fn call(&self, token: String) -> Answer {
        answer(self.gate.clone(), token).await
    }

    /// Sends a request with each of `tokens`, concurrently, each on its own task.
    pub(crate) async fn call_all(&self, tokens: Vec<String>) -> Vec<Answer> {
        let tasks = tokens.into_iter().map(|token| tokio::spawn(answer(self.gate.clone(), token)));
        join_all(tasks).await.into_iter().map(|joined| joined.expect("the task does not panic")).collect()
    }
}

async fn answer<S, C>(service: S, token: String) -> Answer
where
    S: Service<http::Request<Full<Bytes>>, Response = Response<C>, Error = Infallible>,
{
    let begun = Instant::now();
    let Ok(response) = service.oneshot(request(bearer(&token))).await;
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    Answer { status: response.status(), retry_after, after: begun.elapsed() }
}
