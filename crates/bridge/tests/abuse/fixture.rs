//! [`Fixture`]: a bridge and a provider in memory.

use std::{
    convert::Infallible,
    future::ready,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use axum::{Router, body::Body};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full};
use portcullis_bridge::{Bridge, BridgeConfig, Client, GrantType, IntrospectionClient, RedirectUri};
use portcullis_core::{Issuer, ResourceUri, ScopeSet};
use portcullis_egress::Egress;
use portcullis_oauth::{ClientAuthentication, providers::Provider};
use portcullis_refresh::GrantStore;
use portcullis_store::{Collection, KeyRing, MemoryStore, SealedStore, Store as _};
use portcullis_test_support::{Browser, Endpoint, IdentityProvider, Network, OAuthClient, Page, TestClock};
use portcullis_upstream::ProviderClient;
use serde_json::json;
use tower::ServiceExt as _;

pub(crate) const ISSUER: &str = "https://bridge.example.test";
pub(crate) const RESOURCE: &str = "https://bridge.example.test/mcp";
pub(crate) const REDIRECT_URI: &str = "https://app.example.test/callback";
pub(crate) const SERVER_SECRET: &str = "the-secret-of-the-server";

/// A public client, a confidential client, and a resource server.
pub(crate) const APP: &str = "app";
pub(crate) const SERVER: &str = "server";
pub(crate) const API: &str = "api";

/// The header with the client address.
pub(crate) const FORWARDED: &str = "x-forwarded-for";

pub(crate) struct Fixture {
    pub(crate) router: Router,
    pub(crate) network: Network,
    pub(crate) idp: IdentityProvider,
    documents_fetched: Arc<AtomicUsize>,
    pub(crate) rows: MemoryStore,
    /// A client that knows the metadata of the bridge.
    client: OnceLock<OAuthClient>,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::with(|config| config)
    }

    pub(crate) fn with(change: impl FnOnce(BridgeConfig) -> BridgeConfig) -> Self {
        let clock = Arc::new(TestClock::new());
        let idp = IdentityProvider::new().with_clock(clock.clone());
        let egress = Egress::from_service(idp.clone());
        let secret = ClientAuthentication::basic(IdentityProvider::CLIENT_ID, IdentityProvider::CLIENT_SECRET.into());
        let client = ProviderClient::new(provider(&idp), secret, egress).with_clock(clock.clone());
        let keys = KeyRing::ephemeral();
        let grants =
            GrantStore::new(Arc::new(MemoryStore::new().with_clock(clock.clone())), keys.clone()).expect("not durable");
        let rows = MemoryStore::new().with_clock(clock.clone());
        let records = SealedStore::new(Arc::new(rows.clone()), keys).expect("not durable");
        // Only URLs that contain `good` have a document.
        let documents_fetched = Arc::new(AtomicUsize::new(0));
        let fetched = Arc::clone(&documents_fetched);
        let documents = Egress::from_service(tower::service_fn(move |request: Request<Bytes>| {
            fetched.fetch_add(1, Relaxed);
            let response = if request.uri().path() == "/good.json" {
                let id = request.uri().to_string();
                let document = json!({"client_id": id, "client_name": "App", "redirect_uris": [REDIRECT_URI]});
                Response::builder().header("content-type", "application/json").body(document.to_string().into())
            } else {
                Response::builder().status(404).body(Bytes::new())
            };
            ready(Ok::<_, Infallible>(response.expect("a response")))
        }));
        let config = change(config());
        let router = Bridge::builder(config, client, documents).with_clock(clock).build(grants, records).router();
        let network = Network::new().with_provider(&idp).with_service(ISSUER, router.clone());
        Self { router, network, idp, documents_fetched, rows, client: OnceLock::new() }
    }

    pub(crate) async fn client(&self) -> OAuthClient {
        if let Some(client) = self.client.get() {
            return client.clone();
        }
        let client = OAuthClient::discover(&self.network, ISSUER).await.expect("metadata");
        self.client.get_or_init(|| client.with_redirect_uri(REDIRECT_URI).with_client_id(APP)).clone()
    }

    /// Returns the network for requests from `address`.
    pub(crate) fn network_at(&self, address: &str) -> Network {
        let address = HeaderValue::from_str(address).expect("an address");
        let from = move |mut request: Request<Full<Bytes>>| {
            request.headers_mut().insert(FORWARDED, address.clone());
            request
        };
        Network::new().with_provider(&self.idp).with_service(ISSUER, self.router.clone().map_request(from))
    }

    /// Begins a login of `client` with a browser at `address`, up to the redirect to the provider.
    pub(crate) async fn begin_login(&self, client: &OAuthClient, browser: &mut Browser) -> Page {
        let url = client.authorization().expect("an endpoint").url();
        browser.press_through(&url, &[Browser::APPROVE]).await.expect("pages").page().expect("a page")
    }

    /// Returns the response to `request`, whose URI is a path.
    pub(crate) async fn send(&self, request: Request<Body>) -> Response<Bytes> {
        let response = self.router.clone().oneshot(request).await.expect("a response");
        let (parts, body) = response.into_parts();
        Response::from_parts(parts, body.collect().await.expect("a body").to_bytes())
    }

    pub(crate) async fn post(&self, path: &str, content_type: &str, body: impl Into<Body>) -> Response<Bytes> {
        let request = Request::post(path).header("content-type", content_type).body(body.into());
        self.send(request.expect("a request")).await
    }

    /// Returns the number of documents that were fetched since the last call.
    pub(crate) fn documents_fetched(&self) -> usize {
        self.documents_fetched.swap(0, Relaxed)
    }

    /// Returns the number of rows.
    pub(crate) async fn rows(&self, table: Collection) -> u64 {
        self.rows.count(table).await.expect("memory")
    }
}

fn config() -> BridgeConfig {
    let redirect_uris = || vec![RedirectUri::new(REDIRECT_URI).expect("a redirect URI")];
    let resource = || ResourceUri::new(RESOURCE).expect("a resource");
    let grant_types = [GrantType::AuthorizationCode, GrantType::RefreshToken, GrantType::JwtBearer];
    let server = Client::confidential(SERVER, "Server", &SERVER_SECRET.into(), redirect_uris());
    BridgeConfig::new(Issuer::new(ISSUER).expect("an issuer"), resource())
        .with_scopes(ScopeSet::parse("mcp:read mcp:write").expect("scopes"))
        .with_upstream_scopes(ScopeSet::parse("openid email offline_access").expect("scopes"))
        .with_client(Client::public(APP, "App", redirect_uris()))
        .and_then(|config| config.with_client(server.with_grant_types(grant_types)))
        .expect("clients")
        .with_introspection_client(IntrospectionClient::new(API, &SERVER_SECRET.into(), resource()))
        .with_client_address_header(HeaderName::from_static(FORWARDED))
}

fn provider(idp: &IdentityProvider) -> Provider {
    let at = |endpoint| idp.endpoint_url(endpoint).parse::<Uri>().expect("a URI");
    Provider::oidc_at(Issuer::new(&idp.issuer()).expect("an issuer"), at(Endpoint::Authorization), at(Endpoint::Token))
        .with_userinfo_endpoint(at(Endpoint::UserInfo))
        .with_revocation_endpoint(at(Endpoint::Revocation))
        .with_jwks_uri(at(Endpoint::KeySet))
}
