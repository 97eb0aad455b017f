//! A bridge between a provider and clients, without a socket.

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

use crate::shelf::Shelf;

pub(crate) const ISSUER: &str = "https://mcp.example.test";
pub(crate) const RESOURCE: &str = "https://mcp.example.test/mcp";
pub(crate) const OTHER_RESOURCE: &str = "https://reports.example.test/mcp";

/// A client without a secret, and one with.
pub(crate) const APP: &str = "app";
pub(crate) const SERVER: &str = "server";
pub(crate) const SECRET: &str = "the secret of the server";

type Parts = (BridgeConfig, ProviderClient, GrantStore, SealedStore, Egress);

pub(crate) struct World {
    pub(crate) idp: IdentityProvider,
    pub(crate) clock: TestClock,
    pub(crate) bridge: Bridge,
    pub(crate) network: Network,
    pub(crate) shelf: Shelf,
    /// What another process needs for the same bridge.
    parts: Parts,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|config| config).await
    }

    /// A bridge with all that it can have, which `change` may take away.
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
        let shelf = Shelf::new(MemoryStore::new().with_clock(Arc::new(clock.clone())));
        let vault = GrantStore::new(Arc::new(grants), KeyRing::ephemeral()).expect("not durable");
        let records = SealedStore::new(shelf.store(), KeyRing::ephemeral()).expect("not durable");
        let parts = (config, provider, vault, records, egress);
        let bridge = bridge(&parts, &clock);
        let network = network.with_service(ISSUER, bridge.router());
        Self { idp, clock, bridge, network, shelf, parts }
    }

    /// The same bridge in another process, with what `change` changes.
    pub(crate) fn another(&self, change: impl FnOnce(BridgeConfig) -> BridgeConfig) -> Bridge {
        let mut parts = self.parts.clone();
        parts.0 = change(parts.0);
        bridge(&parts, &self.clock)
    }

    /// The same bridge, which keeps everything in `store` from now on.
    pub(crate) fn in_store(mut self, store: SealedStore) -> Self {
        (self.parts.2, self.parts.3) = (store.clone().into(), store);
        let bridge = self.another(|config| config);
        self.replaced_by(bridge)
    }

    /// The same bridge in another process, which has opened the store by itself.
    pub(crate) fn another_in(&self, store: SealedStore) -> Bridge {
        let mut parts = self.parts.clone();
        (parts.2, parts.3) = (store.clone().into(), store);
        bridge(&parts, &self.clock)
    }

    /// Whoever asks for the bridge gets to `bridge` now.
    pub(crate) fn replaced_by(self, bridge: Bridge) -> Self {
        let network = self.network.with_service(ISSUER, bridge.router());
        Self { bridge, network, ..self }
    }

    /// Alice has logged in, and the client is about to redeem the code.
    pub(crate) async fn code(&self, client: &OAuthClient) -> (Authorization, String) {
        let authorization = client.authorization().expect("an endpoint");
        let mut browser = Browser::new(self.network.clone()).with_stop_at(client.redirect_uri());
        let callback =
            browser.log_in(&authorization.url(), "alice").await.expect("a login").left().expect("a callback");
        let code = authorization.code(&callback).expect("a code");
        (authorization, code)
    }

    /// Alice has logged in, and the client without a secret has tokens.
    pub(crate) async fn log_in(&self) -> Answer {
        let client = self.app().await;
        let (authorization, code) = self.code(&client).await;
        let answer = client.redeem(&authorization, &code).await.expect("an answer");
        assert_eq!(answer.status(), 200, "{answer:?}");
        answer
    }

    /// The client without a secret.
    pub(crate) async fn app(&self) -> OAuthClient {
        OAuthClient::discover(&self.network, ISSUER).await.expect("metadata").with_client_id(APP)
    }

    /// The client with a secret.
    pub(crate) async fn server(&self) -> OAuthClient {
        self.app().await.with_client_id(SERVER).with_secret_in_body(SECRET)
    }

    /// An access token for alice, by an assertion.
    pub(crate) async fn asserted(&self) -> Answer {
        let assertion =
            self.idp.id_jag("alice", ISSUER, SERVER).with_claim("resource", RESOURCE).with_scope("mcp:read");
        self.server().await.redeem_id_jag(&assertion.jwt()).await.expect("an answer")
    }

    /// What becomes of `token` at the resource.
    pub(crate) async fn verify(&self, token: &str) -> Result<Arc<UserContext>, AuthError> {
        self.bridge.verifier().oneshot(BearerToken::new(token).expect("a token")).await
    }

    pub(crate) async fn send(&self, request: http::request::Builder, body: &str) -> Response<Bytes> {
        let request: Request<Bytes> = request.body(body.to_owned().into()).expect("a request");
        self.network.send(request).await.expect("an answer")
    }

    /// The time, in seconds.
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

/// A bridge that trusts nobody's assertions.
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

/// So many of the same at once.
pub(crate) async fn at_once(count: usize, call: impl Fn() -> Call) -> Vec<Answer> {
    let tasks: Vec<_> = (0..count).map(|_| tokio::spawn(call().into_future())).collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.expect("no panic").expect("an answer"));
    }
    answers
}
