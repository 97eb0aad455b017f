//! A gate before many callers: what they get and when, and what the provider sees of them.

use std::{convert::Infallible, error::Error, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Response, StatusCode, header::RETRY_AFTER};
use http_body_util::Full;
use portcullis::{
    Auth, AuthConfig, Issuer, ResourceUri,
    types::{Clock, SystemClock},
    egress::Egress,
    oauth::{ClientAuthentication, introspection::IntrospectionPolicy},
    verify::{Cache, CacheConfig, IntrospectionVerifier},
};
use portcullis_testkit::{Endpoint, IdentityProvider};
use tokio::time::Instant;
use tower::{Service, ServiceExt};

use crate::{
    mcp::{Bare, bearer, request},
    provider::metadata,
};

/// A gate that introspects every token once, at a provider without a network between.
#[derive(Clone)]
pub(crate) struct Crowd {
    /// Who is asked.
    pub(crate) provider: IdentityProvider,
    /// The gate.
    pub(crate) gate: Auth<Bare, Cache<IntrospectionVerifier>>,
}

/// What one caller got, and after what time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: StatusCode,
    /// When to come again, in seconds.
    pub(crate) retry_after: Option<u64>,
    /// How long it took.
    pub(crate) after: Duration,
}

impl Crowd {
    /// A gate whose provider takes `latency` for an introspection.
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
        let crowd = Self { provider, gate };
        // The provider's metadata is known from here on.
        assert_eq!(crowd.call(crowd.token()).await.status, StatusCode::OK);
        crowd.provider.set_latency(Endpoint::Introspection, latency);
        Ok(crowd)
    }

    /// A token that nobody has shown yet.
    pub(crate) fn token(&self) -> String {
        self.provider.token("alice").with_scope("mcp:use").opaque()
    }

    /// So many of them.
    pub(crate) fn tokens(&self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.token()).collect()
    }

    /// How often the provider has been asked about a token.
    pub(crate) fn calls(&self) -> usize {
        self.provider.calls(Endpoint::Introspection)
    }

    /// One request with `token`.
    pub(crate) async fn call(&self, token: String) -> Answer {
        answer(self.gate.clone(), token).await
    }

    /// A request with each of `tokens`, all at once, each on a task of its own.
    pub(crate) async fn call_all(&self, tokens: Vec<String>) -> Vec<Answer> {
        let tasks = tokens.into_iter().map(|token| tokio::spawn(answer(self.gate.clone(), token)));
        join_all(tasks).await.into_iter().map(|joined| joined.expect("nobody panics")).collect()
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
