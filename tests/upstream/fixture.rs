//! A provider with one grant, and a server that knows it.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use http::Uri;
use portcullis::{
    egress::Egress,
    oauth::{
        ClientAuthentication, TokenResponse, introspection::IntrospectionPolicy, jwt::JwtPolicy, providers::Provider,
    },
    refresh::{GrantStore, Refresher, RefresherConfig, TokenSet},
    store::{KeyRing, MemoryStore},
    types::{AuthError, BearerToken, Clock, GrantId, Issuer, ResourceUri, ScopeSet, UserContext, VerifyToken},
    upstream::{ProfileVerifier, ProviderClient, UpstreamLayer, UpstreamVerifier},
    verify::{
        Cache, CacheConfig, IntrospectionVerifier, JwtVerifier, RemoteKeySet, UserInfoEndpoint, UserInfoVerifier,
        danger,
    },
};
use portcullis_testkit::{Endpoint, IdentityProvider, TestClock, TokenPolicy};
use tower::{Layer as _, ServiceExt as _, service_fn};

/// What one call of the provider takes.
const ROUND_TRIP: Duration = Duration::from_millis(100);

/// How long an upstream access token lives.
pub(crate) const LIFETIME: Duration = Duration::from_secs(200);

const GRANT: GrantId = GrantId::from_bytes([7; 16]);

pub(crate) struct World {
    pub(crate) idp: IdentityProvider,
    provider: ProviderClient,
    refresher: Refresher,
    clock: Arc<dyn Clock>,
}

impl World {
    /// Alice has just logged in, and the provider goes by `policy`.
    pub(crate) async fn new(policy: TokenPolicy) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(TestClock::new());
        let idp = IdentityProvider::new().with_clock(Arc::clone(&clock));
        idp.set_token_policy(policy.with_access_token_lifetime(LIFETIME));
        for endpoint in [Endpoint::Token, Endpoint::UserInfo, Endpoint::Introspection, Endpoint::KeySet] {
            idp.set_latency(endpoint, ROUND_TRIP);
        }
        let vault = GrantStore::new(Arc::new(MemoryStore::new().with_clock(Arc::clone(&clock))), KeyRing::ephemeral())
            .expect("vault");
        let provider =
            Provider::oidc_at(issuer(), at("/authorize"), at("/token")).with_userinfo_endpoint(at("/userinfo"));
        let egress = Egress::from_service(idp.clone());
        let provider = ProviderClient::new(provider, client(), egress).with_clock(Arc::clone(&clock));
        let config = RefresherConfig::for_provider(provider.provider()).with_early_refresh(Duration::ZERO);
        let refresher = Refresher::new(vault, provider.clone(), config.with_clock(Arc::clone(&clock)));
        Self { idp, provider, refresher, clock }.logged_in().await
    }

    async fn logged_in(self) -> Self {
        let issued = self.idp.issue_grant("alice", "openid");
        let mut response = TokenResponse::new(BearerToken::issued(&issued.access_token).expect("token"));
        response.refresh_token = Some(issued.refresh_token.into());
        let now = self.clock.now();
        self.refresher.create(GRANT, TokenSet::from_login(response, &ScopeSet::default(), now)).await.expect("begun");
        self
    }

    /// As if the token endpoint had said when the first token expires.
    pub(crate) async fn with_known_expiry(self) -> Self {
        let token = self.refresher.upstream(GRANT).access_token().await.expect("token");
        self.refresher.upstream(GRANT).rejected(&token).await.expect("refreshed");
        self
    }

    /// The grant's end of the world: what a verifier of our own tokens says.
    pub(crate) fn own(&self) -> impl VerifyToken<Future: Send> + Clone + Send + Sync + 'static + use<> {
        let refresher = self.refresher.clone();
        service_fn(move |token: BearerToken| {
            assert!(token.expose_secret().starts_with("ours"));
            let user = UserContext::builder(issuer(), "alice").with_upstream(refresher.upstream(GRANT)).build();
            std::future::ready(Ok::<_, AuthError>(Arc::new(user)))
        })
    }

    fn egress(&self) -> Egress {
        Egress::from_service(self.idp.clone())
    }

    pub(crate) fn profile(&self) -> ProfileVerifier {
        self.provider.profile_verifier()
    }

    /// The upstream token came from the provider to us: there is no audience to be checked.
    pub(crate) fn user_info(&self) -> UserInfoVerifier {
        let endpoint = UserInfoEndpoint::new(issuer(), self.egress())
            .with_clock(Arc::clone(&self.clock))
            .with_url(at("/userinfo"));
        UserInfoVerifier::new(endpoint, danger::any_audience()).expect("verifier")
    }

    pub(crate) fn introspection(&self) -> IntrospectionVerifier {
        let policy = IntrospectionPolicy::new(issuer(), resource());
        let verifier = IntrospectionVerifier::new(policy, client(), self.egress()).with_clock(Arc::clone(&self.clock));
        verifier.with_endpoint(at("/introspect"))
    }

    pub(crate) fn jwt(&self) -> JwtVerifier {
        let keys = RemoteKeySet::at(at("/jwks"), self.egress());
        JwtVerifier::new(JwtPolicy::new(issuer(), resource()), keys).with_clock(Arc::clone(&self.clock))
    }

    /// Our own tokens, then `provider` for those of the provider, behind a cache.
    pub(crate) fn cache<P>(&self, provider: P) -> Cache<impl VerifyToken<Future: Send> + Clone + Send + Sync + use<P>>
    where
        P: VerifyToken<Future: Send> + Clone + Send + Sync + 'static,
    {
        let verifier: UpstreamVerifier<_, P> = UpstreamLayer::new(provider).layer(self.own());
        Cache::around(verifier, CacheConfig::new().with_clock(Arc::clone(&self.clock)))
    }

    /// How often UserInfo was asked, with a dead token or any; and how often the token endpoint was.
    pub(crate) fn calls(&self) -> Calls {
        Calls {
            dead: self.idp.dead_calls(),
            user_info: self.idp.calls(Endpoint::UserInfo),
            refreshes: self.idp.calls(Endpoint::Token),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Calls {
    pub(crate) dead: usize,
    pub(crate) user_info: usize,
    pub(crate) refreshes: usize,
}

impl Calls {
    pub(crate) const fn since(self, before: Self) -> Self {
        Self {
            dead: self.dead - before.dead,
            user_info: self.user_info - before.user_info,
            refreshes: self.refreshes - before.refreshes,
        }
    }
}

/// What becomes of `count` requests with one token of ours that come together.
pub(crate) async fn call_concurrently<V>(verifier: &V, count: usize) -> Vec<Result<Arc<UserContext>, AuthError>>
where
    V: VerifyToken<Future: Send> + Clone + Send + 'static,
{
    let requests = (0..count).map(|_| tokio::spawn(verifier.clone().oneshot(ours())));
    join_all(requests).await.into_iter().map(|outcome| outcome.expect("no panic")).collect()
}

pub(crate) async fn ask<V: VerifyToken + Clone>(verifier: &V) -> Result<Arc<UserContext>, AuthError> {
    let mut verifier = verifier.clone();
    verifier.ready().await?.call(ours()).await
}

fn ours() -> BearerToken {
    BearerToken::new("ours").expect("token")
}

fn issuer() -> Issuer {
    Issuer::new(IdentityProvider::ISSUER).expect("issuer")
}

fn resource() -> ResourceUri {
    ResourceUri::new(IdentityProvider::AUDIENCE).expect("resource")
}

fn client() -> ClientAuthentication {
    ClientAuthentication::basic(IdentityProvider::CLIENT_ID, IdentityProvider::CLIENT_SECRET.into())
}

fn at(path: &str) -> Uri {
    format!("{}{path}", IdentityProvider::ISSUER).parse().expect("uri")
}
