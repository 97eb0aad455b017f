//! [`Fixture`]: a bridge between a provider and clients, without sockets, which can be restarted.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use axum::{Router, routing::get};
use bytes::Bytes;
use http::{HeaderValue, Request};
use portcullis_bridge::{Bridge, BridgeConfig, Client, RedirectUri};
use portcullis_core::{AuthError, BearerToken, Issuer, ResourceUri, ScopeSet, UserContext};
use portcullis_egress::{Egress, EgressError, EgressErrorKind};
use portcullis_oauth::{ClientAuthentication, providers::Provider};
use portcullis_refresh::GrantStore;
use portcullis_remote::discover;
use portcullis_store::{KeyRing, MemoryStore, SealedStore};
use portcullis_test_support::{Browser, IdentityProvider, Network, OAuthClient, TestClock};
use portcullis_upstream::ProviderClient;
use serde_json::{Value, json};
use tower::{ServiceExt as _, service_fn};
use url::Url;

use crate::unreliable_store::UnreliableStore;

pub(crate) const ISSUER: &str = "https://mcp.example.test";
pub(crate) const RESOURCE: &str = "https://mcp.example.test/mcp";
pub(crate) const OTHER_RESOURCE: &str = "https://reports.example.test/mcp";

/// A configured client with a web site.
pub(crate) const SITE: &str = "site";
pub(crate) const SITE_URI: &str = "https://client.example.test/callback";
/// A client on the user's machine.
pub(crate) const APP: &str = "app";
/// A client with a private-use scheme.
pub(crate) const CURSOR: &str = "cursor";
pub(crate) const CURSOR_URI: &str = "cursor://anysphere.cursor-mcp/oauth/callback";

/// A client with a metadata document and a redirect URI on another host.
pub(crate) const DOCUMENT: &str = "https://vendor.example.test/client.json";
pub(crate) const DOCUMENT_URI: &str = "https://app.vendor.example.test/callback";
/// The redirect URI of a registered client.
pub(crate) const REGISTERED_URI: &str = "https://registered.example.test/callback";

pub(crate) struct Fixture {
    pub(crate) idp: IdentityProvider,
    pub(crate) clock: TestClock,
    pub(crate) bridge: Bridge,
    pub(crate) network: Network,
    /// The document at [`DOCUMENT`].
    pub(crate) document: Arc<Mutex<Value>>,
    /// The store of the bridge.
    pub(crate) store: UnreliableStore,
    /// Whether the egress guard blocks the provider.
    pub(crate) is_blocked: Arc<AtomicBool>,
    parts: Parts,
    /// The service at the issuer.
    running: Arc<Mutex<Router>>,
}

/// The state that survives a restart.
struct Parts {
    config: BridgeConfig,
    provider: ProviderClient,
    vault: GrantStore,
    records: SealedStore,
    egress: Egress,
}

impl Parts {
    fn start(&self, clock: &TestClock) -> Bridge {
        let Self { config, provider, vault, records, egress } = self;
        let (config, provider, vault) = (config.clone(), provider.clone(), vault.clone());
        Bridge::builder(config, provider, egress.clone())
            .with_clock(Arc::new(clock.clone()))
            .build(vault, records.clone())
    }
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        Self::with(|config| config).await
    }

    pub(crate) async fn with(change: impl FnOnce(BridgeConfig) -> BridgeConfig) -> Self {
        Self::of(change(config())).await
    }

    /// Creates a bridge with `config`.
    pub(crate) async fn of(config: BridgeConfig) -> Self {
        let idp = IdentityProvider::new().with_issuer("https://idp.other.test");
        let egress = Egress::from_service(Network::new().with_provider(&idp));
        let metadata = discover(&egress, &idp.issuer().parse().expect("issuer")).await.expect("metadata");
        Self::at(config, idp, Provider::oidc(&metadata).expect("a provider"))
    }

    /// Creates a bridge to `provider`, which `idp` simulates.
    pub(crate) fn at(config: BridgeConfig, idp: IdentityProvider, provider: Provider) -> Self {
        let clock = TestClock::new();
        let idp = idp.with_clock(Arc::new(clock.clone()));
        let document = Arc::new(Mutex::new(json!({
            "client_id": DOCUMENT,
            "client_name": "A documented client",
            "redirect_uris": [DOCUMENT_URI],
            "token_endpoint_auth_method": "none",
        })));
        let published = Arc::clone(&document);
        let published = move || {
            let text = published.lock().expect("not poisoned").to_string();
            std::future::ready(([("content-type", "application/json")], text))
        };
        let documents = Router::new().route("/client.json", get(published));
        let network = Network::new().with_provider(&idp).with_service("https://vendor.example.test", documents);
        let named = |mut request: Request<Bytes>| {
            // GitHub requires a `User-Agent`.
            request.headers_mut().insert("user-agent", HeaderValue::from_static("portcullis"));
            request
        };
        let is_blocked = Arc::new(AtomicBool::new(false));
        let blocked = Arc::clone(&is_blocked);
        let egress = Egress::from_service(network.clone().map_request(named)).with_check(move |request| match blocked
            .load(Relaxed)
        {
            true => Err(EgressError::new(EgressErrorKind::Blocked, request.uri())),
            false => Ok(()),
        });
        let app = ClientAuthentication::basic(IdentityProvider::CLIENT_ID, IdentityProvider::CLIENT_SECRET.into());
        let provider = ProviderClient::new(provider, app, egress.clone()).with_clock(Arc::new(clock.clone()));
        let keys = KeyRing::ephemeral();
        let vault = GrantStore::new(Arc::new(MemoryStore::new().with_clock(Arc::new(clock.clone()))), keys.clone())
            .expect("a vault");
        let store = UnreliableStore::new(MemoryStore::new().with_clock(Arc::new(clock.clone())));
        let records = SealedStore::new(store.store(), keys).expect("records");
        let parts = Parts { config, provider, vault, records, egress };
        let bridge = parts.start(&clock);
        let running = Arc::new(Mutex::new(bridge.router()));
        let at_issuer = Arc::clone(&running);
        let service = service_fn(move |request| at_issuer.lock().expect("not poisoned").clone().oneshot(request));
        let network = network.with_service(bridge.issuer().as_str(), service);
        Self { idp, clock, bridge, network, document, store, is_blocked, parts, running }
    }

    /// Restarts the bridge with the same stores and keys.
    pub(crate) fn restart(&mut self) {
        self.bridge = self.parts.start(&self.clock);
        *self.running.lock().expect("not poisoned") = self.bridge.router();
    }

    pub(crate) fn browser(&self) -> Browser {
        let stops = [SITE_URI, DOCUMENT_URI, REGISTERED_URI, OAuthClient::REDIRECT_URI];
        stops.iter().fold(Browser::new(self.network.clone()), |browser, stop| browser.with_stop_at(stop))
    }

    /// Returns the client with a web site.
    pub(crate) async fn site(&self) -> OAuthClient {
        self.client(SITE, SITE_URI).await
    }

    /// Returns a registered client.
    pub(crate) async fn registered(&self) -> OAuthClient {
        let mut client = self.client("", REGISTERED_URI).await;
        client.register(&client.registration()).await.expect("registered");
        client
    }

    pub(crate) async fn client(&self, client_id: &str, redirect_uri: &str) -> OAuthClient {
        let client = OAuthClient::discover(&self.network, ISSUER).await.expect("metadata");
        client.with_client_id(client_id).with_redirect_uri(redirect_uri)
    }

    /// Verifies `token` at the resource.
    pub(crate) async fn verify(&self, token: &str) -> Result<Arc<UserContext>, AuthError> {
        self.verify_at(RESOURCE, token).await
    }

    pub(crate) async fn verify_at(&self, resource: &str, token: &str) -> Result<Arc<UserContext>, AuthError> {
        let verifier = self.bridge.verifier_for(ResourceUri::new(resource).expect("a resource"));
        verifier.oneshot(BearerToken::new(token).expect("a token")).await
    }
}

pub(crate) fn config() -> BridgeConfig {
    let uris = |text: &str| vec![RedirectUri::new(text).expect("a redirect URI")];
    let resource = |text: &str| ResourceUri::new(text).expect("a resource");
    BridgeConfig::new(Issuer::new(ISSUER).expect("an issuer"), resource(RESOURCE))
        .with_resource(resource(OTHER_RESOURCE))
        .with_scopes(ScopeSet::parse("mcp:read mcp:write").expect("scopes"))
        .with_upstream_scopes(ScopeSet::parse("openid email offline_access").expect("scopes"))
        .with_client(Client::public(SITE, "A site", uris(SITE_URI)))
        .and_then(|config| config.with_client(Client::public(APP, "An app", uris(OAuthClient::REDIRECT_URI))))
        .and_then(|config| config.with_client(Client::public(CURSOR, "Cursor", uris(CURSOR_URI))))
        .expect("clients")
}

/// Returns the only parameter `name` of a URL.
pub(crate) fn parameter(url: &Url, name: &str) -> Option<String> {
    let mut found = url.query_pairs().filter(|(known, _)| known == name).map(|(_, value)| value.into_owned());
    let first = found.next();
    assert!(found.next().is_none(), "{name} is there twice");
    first
}
