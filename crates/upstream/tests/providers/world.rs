//! A provider of some vendor on a socket, and a refresher for one grant of it.

use std::{sync::Arc, time::Duration};

use http::Uri;
use portcullis_core::{AuthError, BearerToken, GrantId, ScopeSet, Upstream, UserContext};
use portcullis_egress::{Egress, EgressConfig};
use portcullis_oauth::{ClientAuthentication, CodeVerifier, providers::Provider};
use portcullis_refresh::{GrantStore, RefreshRequest, Refresher, RefresherConfig, TokenSet};
use portcullis_store::{KeyRing, MemoryStore};
use portcullis_testkit::{Endpoint, IdentityProvider, RunningIdentityProvider, TestClock, Vendor};
use portcullis_upstream::{ProviderClient, UpstreamVerifier};
use secrecy::ExposeSecret as _;
use tower::ServiceExt as _;

pub(crate) const GRANT: GrantId = GrantId::from_bytes([7; 16]);
pub(crate) const SCOPES: &str = "openid email offline_access read:me";
/// Longer than the first back-off window: the provider's is at most 1.25 s, and the grant's at most a quarter more.
pub(crate) const WINDOW: Duration = Duration::from_millis(1700);

const REDIRECT: &str = "https://mcp.example.test/callback";

/// The vendors, and one that keeps to the standards.
pub(crate) const VENDORS: [Option<Vendor>; 6] = [
    None,
    Some(Vendor::Keycloak),
    Some(Vendor::Google),
    Some(Vendor::GitHub),
    Some(Vendor::Atlassian),
    Some(Vendor::Salesforce),
];

pub(crate) struct World {
    pub(crate) idp: IdentityProvider,
    pub(crate) vendor: Option<Vendor>,
    pub(crate) clock: TestClock,
    pub(crate) client: ProviderClient,
    pub(crate) refresher: Refresher,
    vault: GrantStore,
    running: Option<RunningIdentityProvider>,
}

impl World {
    /// Creates a world without a login.
    pub(crate) async fn of(vendor: Option<Vendor>) -> Self {
        let clock = TestClock::new();
        let idp = vendor.map_or_else(IdentityProvider::new, IdentityProvider::of).with_clock(Arc::new(clock.clone()));
        let running = idp.serve().await.expect("a port");
        let provider = provider(vendor, &idp, running.url());
        let egress = EgressConfig::new().with_loopback_allowed();
        let egress = Egress::new(egress).expect("TLS");
        let app = ClientAuthentication::basic(IdentityProvider::CLIENT_ID, IdentityProvider::CLIENT_SECRET.into());
        let client = ProviderClient::new(provider, app, egress).with_clock(Arc::new(clock.clone()));
        let store = MemoryStore::new().with_clock(Arc::new(clock.clone()));
        let vault = GrantStore::new(Arc::new(store), KeyRing::ephemeral()).expect("not durable");
        let config = RefresherConfig::for_provider(client.provider());
        let refresher = Refresher::new(vault.clone(), client.clone(), config.with_clock(Arc::new(clock.clone())));
        Self { idp, vendor, clock, client, refresher, vault, running: Some(running) }
    }

    /// Alice has logged in, and her access token has expired.
    pub(crate) async fn expired(vendor: Option<Vendor>) -> Self {
        let world = Self::of(vendor).await;
        world.log_in().await;
        world.expire().await;
        world
    }

    /// Stops the provider: its address does not accept connections any more.
    pub(crate) async fn unplug(&mut self) {
        if let Some(running) = self.running.take() {
            running.shutdown().await;
        }
    }

    /// Alice logs in, with a code.
    pub(crate) async fn log_in(&self) -> TokenSet {
        self.log_in_as(GRANT).await
    }

    pub(crate) async fn log_in_as(&self, grant: GrantId) -> TokenSet {
        let verifier = CodeVerifier::new([7; 32]);
        let code = self.idp.issue_code("alice", SCOPES, REDIRECT, Some(&verifier.challenge()));
        let asked = ScopeSet::parse(SCOPES).expect("scopes");
        let name = self.name();
        let tokens = self.client.exchange_code(&code.into(), REDIRECT, &verifier, &asked).await.expect(name);
        self.refresher.create(grant, tokens.clone()).await.expect("a new grant");
        tokens
    }

    /// Lets the access token expire.
    pub(crate) async fn expire(&self) {
        let expires_at = self.stored().await.expect("a grant").expires_at().expect("an expiry");
        self.clock.set(expires_at);
    }

    pub(crate) fn name(&self) -> &'static str {
        self.client.provider().name()
    }

    pub(crate) fn upstream(&self) -> Upstream {
        self.refresher.upstream(GRANT)
    }

    pub(crate) async fn tokens(&self) -> Result<Arc<TokenSet>, AuthError> {
        self.refresher.clone().oneshot(RefreshRequest::new(GRANT)).await
    }

    /// What the store has.
    pub(crate) async fn stored(&self) -> Option<Arc<TokenSet>> {
        let kept = self.vault.load(GRANT).await.expect("the store can be read");
        kept.map(|kept| Arc::clone(kept.record.tokens()))
    }

    pub(crate) async fn stored_refresh_token(&self) -> Option<String> {
        self.stored().await?.refresh_token().map(|token| token.expose_secret().to_owned())
    }

    /// A request with a token of ours: the user is found out with the provider's token.
    pub(crate) async fn resolve(&self) -> Result<Arc<UserContext>, AuthError> {
        let upstream = self.upstream();
        let own = tower::service_fn(move |_: BearerToken| {
            let user = UserContext::builder("https://mcp.example.test".parse().expect("issuer"), "alice");
            let user = user.with_upstream(upstream.clone()).build();
            async move { Ok::<_, AuthError>(Arc::new(user)) }
        });
        let token = BearerToken::new("our-own-token").expect("token");
        UpstreamVerifier::new(own, self.client.profile_verifier()).oneshot(token).await
    }

    pub(crate) fn token_calls(&self) -> usize {
        self.idp.calls(Endpoint::Token)
    }

    pub(crate) fn profile_calls(&self) -> usize {
        self.idp.calls(self.profile_endpoint())
    }

    pub(crate) fn profile_endpoint(&self) -> Endpoint {
        if self.vendor == Some(Vendor::GitHub) { Endpoint::GitHubUser } else { Endpoint::UserInfo }
    }
}

/// The vendor's provider, with the endpoints of `idp`.
fn provider(vendor: Option<Vendor>, idp: &IdentityProvider, url: &str) -> Provider {
    let at = |endpoint| idp.endpoint_url(endpoint).parse::<Uri>().expect("URI");
    let issuer = || idp.issuer().parse().expect("issuer");
    match vendor {
        // Its endpoints follow from its URL.
        Some(Vendor::Keycloak) => Provider::keycloak(url, "test").expect("keycloak"),
        Some(Vendor::Google) => Provider::google()
            .with_token_endpoint(at(Endpoint::Token))
            .with_userinfo_endpoint(at(Endpoint::UserInfo))
            .with_revocation_endpoint(at(Endpoint::Revocation)),
        Some(Vendor::GitHub) => Provider::github()
            .with_token_endpoint(at(Endpoint::Token))
            .with_userinfo_endpoint(at(Endpoint::GitHubUser))
            .with_revocation_endpoint(format!("{url}/applications").parse().expect("URI")),
        Some(Vendor::Atlassian) => Provider::atlassian()
            .with_token_endpoint(at(Endpoint::Token))
            .with_userinfo_endpoint(at(Endpoint::UserInfo)),
        Some(Vendor::Salesforce) => Provider::salesforce("login.salesforce.com")
            .expect("salesforce")
            .with_token_endpoint(at(Endpoint::Token))
            .with_userinfo_endpoint(at(Endpoint::UserInfo))
            .with_introspection_endpoint(at(Endpoint::Introspection))
            .with_revocation_endpoint(at(Endpoint::Revocation)),
        _ => Provider::oidc_at(issuer(), at(Endpoint::Token), at(Endpoint::Token))
            .with_userinfo_endpoint(at(Endpoint::UserInfo))
            .with_introspection_endpoint(at(Endpoint::Introspection))
            .with_revocation_endpoint(at(Endpoint::Revocation)),
    }
}
