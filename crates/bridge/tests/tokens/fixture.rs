//! [`Fixture`]: a bridge between a provider and clients, without sockets.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use portcullis_bridge::{Bridge, BridgeConfig, Client, GrantType, IntrospectionClient, RedirectUri, TrustedIssuer};
use portcullis_core::{AuthError, BearerToken, Clock as _, Issuer, ResourceUri, ScopeSet, UserContext};
use portcullis_egress::Egress;
use portcullis_oauth::{ClientAuthentication, providers::Provider};
use portcullis_refresh::GrantStore;
use portcullis_remote::{RemoteKeySet, discover};
use portcullis_store::{KeyRing, MemoryStore, SealedStore};
use portcullis_test_support::{
    Answer, Authorization, Browser, Call, IdentityProvider, Network, OAuthClient, TestClock,
};
use portcullis_upstream::ProviderClient;
use tower::ServiceExt as _;

use crate::unreliable_store::UnreliableStore;

pub(crate) const ISSUER: &str = "https://mcp.example.test";
pub(crate) const RESOURCE: &str = "https://mcp.example.test/mcp";
pub(crate) const OTHER_RESOURCE: &str = "https://reports.example.test/mcp";

/// A public and a confidential client.
pub(crate) const APP: &str = "app";
pub(crate) const SERVER: &str = "server";
pub(crate) const SECRET: &str = "the secret of the server";

type Parts = (BridgeConfig, ProviderClient, GrantStore, SealedStore, Egress);

pub(crate) struct Fixture {
    pub(crate) idp: IdentityProvider,
    pub(crate) clock: TestClock,
    pub(crate) bridge: Bridge,
    pub(crate) network: Network,
    pub(crate) store: UnreliableStore,
    /// The shared parts of several processes.
    parts: Parts,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        Self::with(|config| config).await
    }

    /// Creates a bridge with all features, changed by `change`.
    pub(crate) async fn with(change: impl FnOnce(BridgeConfig) -> BridgeConfig) -> Self {
        let clock = TestClock::new();
        let idp = IdentityProvider::new().with_clock(Arc::new(clock.clone()));
        let network = Network::new().with_provider(&idp);
        let egress = Egress::from_service(network.clone());
        let idp_issuer: Issuer = idp.issuer().parse().expect("issuer");
        let trusted =
            TrustedIssuer::new(idp_issuer.clone(), RemoteKeySet::discovered(idp_issuer.clone(), egress.clone()));
        let config = change(config().with_trusted_issuer(trusted));
        let metadata = discover(&egress, &idp_issuer).await.expect("metadata");
        let app = ClientAuthentication::basic(IdentityProvider::CLIENT_ID, IdentityProvider::CLIENT_SECRET.into());
        let provider = Provider::oidc(&metadata).expect("a provider");
        let provider = ProviderClient::new(provider, app, egress.clone()).with_clock(Arc::new(clock.clone()));
        let grants = MemoryStore::new().with_clock(Arc::new(clock.clone()));
        let store = UnreliableStore::new(MemoryStore::new().with_clock(Arc::new(clock.clone())));
        let vault = GrantStore::new(Arc::new(grants), KeyRing::ephemeral()).expect("not durable");
        let records = SealedStore::new(store.store(), KeyRing::ephemeral()).expect("not durable");
        let parts = (config, provider, vault, records, egress);
        let bridge = bridge(&parts, &clock);
        let network = network.with_service(ISSUER, bridge.router());
        Self { idp, clock, bridge, network, store, parts }
    }

    /// Creates the bridge in another process, changed by `change`.
    pub(crate) fn another(&self, change: impl FnOnce(BridgeConfig) -> BridgeConfig) -> Bridge {
        let mut parts = self.parts.clone();
        parts.0 = change(parts.0);
        bridge(&parts, &self.clock)
    }

    /// Replaces the store of the bridge.
    pub(crate) fn in_store(mut self, store: SealedStore) -> Self {
        (self.parts.2, self.parts.3) = (store.clone().into(), store);
        let bridge = self.another(|config| config);
        self.replaced_by(bridge)
    }

    /// Creates the bridge in another process with its own handle of the store.
    pub(crate) fn another_in(&self, store: SealedStore) -> Bridge {
        let mut parts = self.parts.clone();
        (parts.2, parts.3) = (store.clone().into(), store);
        bridge(&parts, &self.clock)
    }

    /// Routes requests to `bridge`.
    pub(crate) fn replaced_by(self, bridge: Bridge) -> Self {
        let network = self.network.with_service(ISSUER, bridge.router());
        Self { bridge, network, ..self }
    }

    /// Logs alice in. Returns the request and the authorization code.
    pub(crate) async fn code(&self, client: &OAuthClient) -> (Authorization, String) {
        let authorization = client.authorization().expect("an endpoint");
        let mut browser = Browser::new(self.network.clone()).with_stop_at(client.redirect_uri());
        let callback =
            browser.log_in(&authorization.url(), "alice").await.expect("a login").left().expect("a callback");
        let code = authorization.code(&callback).expect("a code");
        (authorization, code)
    }

    /// Logs alice in. Returns the tokens of the public client.
    pub(crate) async fn log_in(&self) -> Answer {
        let client = self.app().await;
        let (authorization, code) = self.code(&client).await;
        let answer = client.redeem(&authorization, &code).await.expect("a response");
        assert_eq!(answer.status(), 200, "{answer:?}");
        answer
    }

    /// Returns the public client.
    pub(crate) async fn app(&self) -> OAuthClient {
        OAuthClient::discover(&self.network, ISSUER).await.expect("metadata").with_client_id(APP)
    }

    /// Returns the confidential client.
    pub(crate) async fn server(&self) -> OAuthClient {
        self.app().await.with_client_id(SERVER).with_secret_in_body(SECRET)
    }

    /// Returns an access token of alice for an assertion.
    pub(crate) async fn asserted(&self) -> Answer {
        let assertion =
            self.idp.id_jag("alice", ISSUER, SERVER).with_claim("resource", RESOURCE).with_scope("mcp:read");
        self.server().await.redeem_id_jag(&assertion.jwt()).await.expect("a response")
    }

    /// Verifies `token` at the resource.
    pub(crate) async fn verify(&self, token: &str) -> Result<Arc<UserContext>, AuthError> {
        self.bridge.verifier().oneshot(BearerToken::new(token).expect("a token")).await
    }

    pub(crate) async fn send(&self, request: http::request::Builder, body: &str) -> Response<Bytes> {
        let request: Request<Bytes> = request.body(body.to_owned().into()).expect("a request");
        self.network.send(request).await.expect("a response")
    }

    /// Returns the time in seconds.
    pub(crate) fn now(&self) -> u64 {
        self.clock.now().as_secs()
    }

    pub(crate) fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

fn bridge((config, provider, vault, records, egress): &Parts, clock: &TestClock) -> Bridge {
    let (provider, vault, records) = (provider.clone(), vault.clone(), records.clone());
    Bridge::builder(config.clone(), provider, egress.clone()).with_clock(Arc::new(clock.clone())).build(vault, records)
}

/// Returns a configuration without trusted issuers.
pub(crate) fn config() -> BridgeConfig {
    let redirect_uris = || vec![RedirectUri::new(OAuthClient::REDIRECT_URI).expect("a redirect URI")];
    let all = [GrantType::AuthorizationCode, GrantType::RefreshToken, GrantType::JwtBearer];
    let server = Client::confidential(SERVER, "A server", &SECRET.into(), redirect_uris()).with_grant_types(all);
    let resource = |text: &str| ResourceUri::new(text).expect("a resource");
    BridgeConfig::new(Issuer::new(ISSUER).expect("an issuer"), resource(RESOURCE))
        .with_resource(resource(OTHER_RESOURCE))
        .with_scopes(ScopeSet::parse("mcp:read mcp:write").expect("scopes"))
        .with_upstream_scopes(ScopeSet::parse("openid email offline_access").expect("scopes"))
        .with_client(Client::public(APP, "An app", redirect_uris()).with_grant_types(all))
        .and_then(|config| config.with_client(server))
        .expect("clients")
        .with_introspection_client(IntrospectionClient::new("here", &"secret of here".into(), resource(RESOURCE)))
        .with_introspection_client(IntrospectionClient::new(
            "reports",
            &"secret of reports".into(),
            resource(OTHER_RESOURCE),
        ))
}

/// Runs `times` calls concurrently.
pub(crate) async fn at_once(count: usize, call: impl Fn() -> Call) -> Vec<Answer> {
    let tasks: Vec<_> = (0..count).map(|_| tokio::spawn(call().into_future())).collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.expect("no panic").expect("a response"));
    }
    answers
}
