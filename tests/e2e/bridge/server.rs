//! [`Site`]: an MCP server with a bridge to a provider, on a socket and over a database, which can be stopped and started.

use std::{
    env, fs,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Json, Router, extract::Path, routing::get};
use portcullis::{
    AuthConfig, AuthLayer, Issuer, ResourceUri, ScopeSet,
    bridge::{Bridge, BridgeConfig},
    egress::{Egress, EgressConfig},
    layer::{
        RequireUpstreamLayer,
        scope::{OperationPolicy, ToolScopesLayer},
    },
    oauth::{ClientAuthentication, providers::Provider},
    refresh::GrantStore,
    sqlite::{SqliteConfig, SqliteStore},
    store::{KeyRing, SealedStore},
    types::{Clock, SystemClock},
    upstream::{ProviderClient, UpstreamLayer},
    verify::{Cache, CacheConfig},
};
use portcullis_store::conformance::{Call, FaultyStore};
use portcullis_test_support::{Network, OAuthClient};
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
};
use serde_json::json;
use tokio::{net::TcpListener, task::JoinHandle};
use tower::Layer as _;

use crate::{
    harness::{Glewlwyd, free_port},
    tools::Tools,
};

/// What the server is called at the provider.
#[derive(Clone, Copy)]
pub(crate) struct Application {
    pub(crate) client_id: &'static str,
    pub(crate) client_secret: &'static str,
    pub(crate) scopes: &'static str,
    /// What else it says when it sends a user there.
    pub(crate) parameter: (&'static str, &'static str),
}

/// At oidc-provider, which gives a refresh token only if it is asked like this.
pub(crate) const APPLICATION: Application = Application {
    client_id: "upstream",
    client_secret: "upstream-secret",
    scopes: "openid offline_access email profile",
    parameter: ("prompt", "consent"),
};

/// At Glewlwyd, whose users go on by a click that adds this.
pub(crate) const GLEWLWYD: Application = Application {
    client_id: Glewlwyd::CLIENT_ID,
    client_secret: Glewlwyd::CLIENT_SECRET,
    scopes: "openid",
    parameter: ("g_continue", ""),
};

/// Where clients have the documents that describe them.
const DOCUMENTS: &str = "https://client.example.test";

/// Where a server is going to be: its provider has to know first.
pub(crate) struct Place {
    origin: String,
    port: u16,
    folder: PathBuf,
    is_read_only: Arc<AtomicBool>,
}

impl Place {
    pub(crate) fn new() -> Self {
        let port = free_port();
        Self::called(&format!("http://127.0.0.1:{port}"), port)
    }

    /// Known by another name: something in front of it forwards to `port`.
    pub(crate) fn called(origin: &str, port: u16) -> Self {
        let folder = env::temp_dir().join(format!("portcullis-site-{:x}", rand::random::<u64>()));
        fs::create_dir(&folder).expect("a folder");
        Self { origin: origin.to_owned(), port, folder, is_read_only: Arc::default() }
    }

    /// Where the provider sends browsers back to.
    pub(crate) fn callback(&self) -> String {
        format!("{}/callback", self.origin)
    }

    /// Where it will listen.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    pub(crate) async fn open(self, provider: &str, app: Application) -> Site {
        self.open_with(provider, app, |config| config).await
    }

    /// A server whose users log in at `provider`. Its access tokens live two seconds, unless `change` says otherwise.
    pub(crate) async fn open_with(
        self,
        provider: &str,
        app: Application,
        change: impl FnOnce(BridgeConfig) -> BridgeConfig,
    ) -> Site {
        let clock = Arc::new(SystemClock::new());
        let egress = Egress::new(EgressConfig::new().with_loopback_allowed()).expect("a way out");
        let metadata = portcullis::verify::discover(&egress, &Issuer::new(provider).expect("an issuer")).await;
        let provider = Provider::oidc(&metadata.expect("its metadata")).expect("a provider");
        let secret = ClientAuthentication::basic(app.client_id, app.client_secret.into());
        let parts = Parts {
            config: change(config(&self.origin, app)),
            provider: ProviderClient::new(provider, secret, egress).with_clock(clock.clone()),
            keys: vec![rand::random()],
            clock,
        };
        let bridge = parts.bridge(&self).await;
        let server = serve(self.port, &bridge).await;
        Site { url: format!("{}/mcp", self.origin), issuer: self.origin.clone(), bridge, place: self, parts, server }
    }
}

/// The server itself.
pub(crate) struct Site {
    /// The MCP endpoint.
    pub(crate) url: String,
    /// What the bridge is called, and where it is.
    pub(crate) issuer: String,
    pub(crate) bridge: Bridge,
    place: Place,
    parts: Parts,
    server: JoinHandle<()>,
}

impl Site {
    /// The process crashes, and another one begins with what is in the database.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.bridge = self.parts.bridge(&self.place).await;
        self.server = serve(self.place.port, &self.bridge).await;
    }

    async fn stop(&mut self) {
        self.server.abort();
        // It says that it was aborted.
        drop((&mut self.server).await);
    }

    /// The URL of the document of a client called `name`.
    pub(crate) fn document(name: &str) -> String {
        format!("{DOCUMENTS}/{name}")
    }

    /// The keys of its database, the one that writes first. They count from the next start on.
    pub(crate) const fn keys(&mut self) -> &mut Vec<[u8; 32]> {
        &mut self.parts.keys
    }

    /// From now on nothing, or anything, can be written down of grants.
    pub(crate) fn set_read_only(&self, is_read_only: bool) {
        self.place.is_read_only.store(is_read_only, Ordering::Relaxed);
    }

    /// A client, whose answers the test takes over.
    pub(crate) async fn client(&self) -> OAuthClient {
        let client = OAuthClient::discover(&Network::new(), &self.issuer).await.expect("metadata");
        client.with_client_id(&Self::document("story")).with_resource(&self.url)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.server.abort();
        let _ = fs::remove_dir_all(&self.place.folder);
    }
}

/// What outlives a process: its configuration, and the keys of its database.
struct Parts {
    config: BridgeConfig,
    provider: ProviderClient,
    keys: Vec<[u8; 32]>,
    clock: Arc<dyn Clock>,
}

impl Parts {
    async fn bridge(&self, place: &Place) -> Bridge {
        let store = SqliteStore::open(SqliteConfig::new(place.folder.join("site.db")).with_clock(self.clock.clone()))
            .await
            .expect("a database");
        let is_read_only = Arc::clone(&place.is_read_only);
        let grants = FaultyStore::new(store.clone(), move |call| match call {
            Call::Swap(_) if is_read_only.load(Ordering::Relaxed) => FaultyStore::fail("the disk is full"),
            _ => FaultyStore::pass(),
        });
        let keys = KeyRing::new(&self.keys).expect("a key");
        let vault = GrantStore::new(Arc::new(grants), keys.clone()).expect("a vault");
        let records = SealedStore::new(Arc::new(store), keys).expect("records");
        let documents = Egress::from_service(Network::new().with_service(DOCUMENTS, documents()));
        Bridge::builder(self.config.clone(), self.provider.clone(), documents)
            .with_clock(self.clock.clone())
            .build(vault, records)
    }
}

fn config(origin: &str, app: Application) -> BridgeConfig {
    let resource = ResourceUri::new(&format!("{origin}/mcp")).expect("a resource");
    BridgeConfig::new(Issuer::new(origin).expect("an issuer"), resource)
        .with_scopes(scopes("mcp:read mcp:admin"))
        .with_default_scopes(scopes("mcp:read"))
        .with_upstream_scopes(scopes(app.scopes))
        .with_upstream_parameter(app.parameter.0, app.parameter.1)
        .with_access_token_ttl(Duration::from_secs(2))
}

fn scopes(text: &str) -> ScopeSet {
    ScopeSet::parse(text).expect("scopes")
}

/// What clients say of themselves: any name is that of an application on the user's machine, which has a web site, too.
fn documents() -> Router {
    let document = async |Path(name): Path<String>| {
        Json(json!({
            "client_id": Site::document(&name),
            "client_name": name,
            "application_type": "native",
            "redirect_uris": ["http://127.0.0.1/callback", format!("{DOCUMENTS}/callback")],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
        }))
    };
    Router::new().route("/{name}", get(document))
}

async fn serve(port: u16, bridge: &Bridge) -> JoinHandle<()> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("a port");
    let app = app(bridge).into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async { axum::serve(listener, app).await.expect("it serves for ever") })
}

/// The tools of the example, behind a gate that takes the tokens of `bridge`.
fn app(bridge: &Bridge) -> Router {
    let users = UpstreamLayer::new(bridge.provider().profile_verifier()).layer(bridge.verifier());
    let users = Cache::around(users, CacheConfig::new());
    let auth = AuthConfig::new(bridge.resource_metadata(), users);
    let auth = auth.with_required_scopes(scopes("mcp:read"));
    let tools = Tools::calling(bridge.provider().clone());
    let config = StreamableHttpServerConfig::default().with_json_response(true);
    let admin = OperationPolicy::new().with_tool("admin_echo", scopes("mcp:read mcp:admin"));
    let mcp = StreamableHttpService::new(move || Ok(tools.clone()), Arc::new(LocalSessionManager::default()), config);
    Router::new()
        .route_service("/mcp", ToolScopesLayer::new(admin).layer(mcp))
        .layer(RequireUpstreamLayer::new())
        .layer(AuthLayer::new(auth))
        .merge(bridge.router())
}
