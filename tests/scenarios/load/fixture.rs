//! [`Stack`]: a whole server before a provider.

use std::{future::ready, sync::Arc, time::Duration};

use axum::{Router, routing::post};
use http::Uri;
use portcullis::{
    AuthConfig, AuthError, AuthLayer, BearerToken, CacheConfig, Issuer, ResourceUri, ScopeSet, UserContext,
    egress::Egress,
    extract::UpstreamToken,
    oauth::{
        ClientAuthentication, TokenResponse, introspection, protected_resource::ProtectedResourceMetadata,
        providers::Provider,
    },
    refresh::{GrantStore, Refresher, RefresherConfig, TokenSet},
    store::{KeyRing, MemoryStore},
    types::{Clock, GrantId},
    upstream::{ProviderClient, UpstreamVerifier},
    verify::Cache,
};
use portcullis_testkit::{Endpoint, IdentityProvider, IssuedGrant, TestClock, TokenPolicy};
use tower::{ServiceExt as _, service_fn};

/// How long an access token of the provider lives: longer than a context is cached.
pub(crate) const LIFETIME: Duration = Duration::from_secs(600);

const GRANT: GrantId = GrantId::from_bytes([7; 16]);

/// Whether the provider says how long its tokens live.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Expiry {
    Told,
    Untold,
}

/// A whole server before a provider where Alice has just logged in: gate, cache, our own tokens, the provider's profile, the
/// refresher, and a tool that wants her token. All of it as it ships, but for the network.
pub(crate) struct Stack {
    pub(crate) idp: IdentityProvider,
    pub(crate) refresher: Refresher,
    pub(crate) router: Router,
    vault: GrantStore,
    test_clock: TestClock,
}

impl Stack {
    pub(crate) async fn new(expiry: Expiry) -> Self {
        let test_clock = TestClock::new();
        let clock: Arc<dyn Clock> = Arc::new(test_clock.clone());
        let idp = IdentityProvider::new().with_clock(Arc::clone(&clock));
        let policy = TokenPolicy::new().with_access_token_lifetime(LIFETIME);
        idp.set_token_policy(if expiry == Expiry::Told { policy } else { policy.without_expires_in() });
        let vault = GrantStore::new(Arc::new(MemoryStore::new().with_clock(Arc::clone(&clock))), KeyRing::ephemeral())
            .expect("a vault");
        let client = provider_client(&idp, Egress::from_service(idp.clone()), &clock);
        let config = RefresherConfig::for_provider(client.provider());
        let refresher = Refresher::new(vault.clone(), client.clone(), config.with_clock(Arc::clone(&clock)));

        let mut login = token_response(&idp.issue_grant("alice", "openid"));
        login.expires_in = (expiry == Expiry::Told).then_some(LIFETIME);
        let tokens = TokenSet::from_login(login, &ScopeSet::default(), clock.now());
        refresher.create(GRANT, tokens).await.expect("a new grant");

        let own = service_fn({
            let refresher = refresher.clone();
            move |_: BearerToken| {
                let user = UserContext::builder(issuer(IdentityProvider::ISSUER), "alice");
                let user = user.with_upstream(refresher.upstream(GRANT)).build();
                ready(Ok::<_, AuthError>(Arc::new(user)))
            }
        });
        let verifier = UpstreamVerifier::new(own, client.profile_verifier());
        let cache = Cache::around(verifier, CacheConfig::new().with_clock(clock));
        let resource = ResourceUri::new(IdentityProvider::AUDIENCE).expect("a resource");
        let metadata = ProtectedResourceMetadata::new(resource, issuer("https://mcp.example.test"));
        let router = Router::new().route("/mcp", post(tool)).layer(AuthLayer::new(AuthConfig::new(metadata, cache)));
        Self { idp, refresher, router, vault, test_clock }
    }

    /// As [`new`](Self::new), and Alice has used it; since then so much time has passed that her access token is dead.
    pub(crate) async fn with_dead_token(expiry: Expiry) -> Self {
        let stack = Self::new(expiry).await;
        assert!(stack.call().await.is_served());
        // The clock alone: an experiment may run in real time.
        stack.test_clock.advance(LIFETIME);
        stack
    }

    /// Both endpoints take so long.
    pub(crate) fn set_latency(&self, latency: Duration) {
        self.idp.set_latency(Endpoint::Token, latency);
        self.idp.set_latency(Endpoint::UserInfo, latency);
    }

    /// The refresh token in the store.
    pub(crate) async fn stored_refresh_token(&self) -> Option<String> {
        use secrecy::ExposeSecret as _;
        let kept = self.vault.load(GRANT).await.expect("the store can be read")?;
        kept.record.tokens().refresh_token().map(|token| token.expose_secret().to_owned())
    }

    /// Alice's tokens, as a handler sees them.
    pub(crate) fn upstream(&self) -> portcullis::types::Upstream {
        self.refresher.upstream(GRANT)
    }

    /// Whether the provider would take this access token.
    pub(crate) async fn is_alive(&self, token: &str) -> bool {
        let provider = provider(&self.idp).with_introspection_endpoint(endpoint(&self.idp, Endpoint::Introspection));
        let token = BearerToken::issued(token).expect("a token");
        let request = provider.introspection_request(&credentials(), &token).expect("an endpoint");
        let response = self.idp.clone().oneshot(request).await.expect("an answer");
        introspection::process(&response).expect("an answer").is_active()
    }
}

/// What it does with the token is return it: only acceptable in a test.
async fn tool(token: UpstreamToken) -> String {
    token.expose_secret().to_owned()
}

/// This server as a client of `idp`.
pub(crate) fn provider_client(idp: &IdentityProvider, egress: Egress, clock: &Arc<dyn Clock>) -> ProviderClient {
    ProviderClient::new(provider(idp), credentials(), egress).with_clock(Arc::clone(clock))
}

/// What a login brought, without its expiry.
pub(crate) fn token_response(grant: &IssuedGrant) -> TokenResponse {
    let mut response = TokenResponse::new(BearerToken::issued(&grant.access_token).expect("a token"));
    response.refresh_token = Some(grant.refresh_token.clone().into());
    response
}

fn provider(idp: &IdentityProvider) -> Provider {
    let token = endpoint(idp, Endpoint::Token);
    let provider = Provider::oidc_at(issuer(&idp.issuer()), token.clone(), token);
    provider.with_userinfo_endpoint(endpoint(idp, Endpoint::UserInfo))
}

fn credentials() -> ClientAuthentication {
    ClientAuthentication::basic(IdentityProvider::CLIENT_ID, IdentityProvider::CLIENT_SECRET.to_owned().into())
}

fn issuer(name: &str) -> Issuer {
    Issuer::new(name).expect("an issuer")
}

/// Where `idp` has it.
pub(crate) fn endpoint(idp: &IdentityProvider, endpoint: Endpoint) -> Uri {
    idp.endpoint_url(endpoint).parse().expect("a URL")
}
