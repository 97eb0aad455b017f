//! [`Site`]: a bridge, a gate, and tools behind it; in the process of the tests, or in one of its own.

use std::{env, io, net::Ipv4Addr, path::PathBuf, sync::Arc};

use axum::{Json, Router, extract::State, routing::get};
use portcullis::{
    AuthConfig, AuthLayer,
    bridge::{Bridge, BridgeConfig, Client, RedirectUri},
    egress::{Egress, EgressConfig},
    extract::User,
    oauth::{ClientAuthentication, providers::Provider},
    refresh::GrantStore,
    store::{KeyRing, SealedStore},
    types::{Clock, Issuer, ResourceUri, ScopeSet, SystemClock},
    upstream::ProviderClient,
};
use portcullis_store_sqlite::SqliteStore;
use portcullis_testkit::IdentityProvider;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    commands::COMMANDS,
    worker::{open, say, standard_input_ends},
};

/// The client that the operator has configured.
pub(crate) const APP: &str = "app";
/// Where the codes of all clients go. Nothing listens there.
pub(crate) const REDIRECT_URI: &str = "https://app.example.test/callback";

/// What a process is to be.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) database: PathBuf,
    pub(crate) key_file: PathBuf,
    /// The public URL.
    pub(crate) issuer: String,
    /// Where users log in.
    pub(crate) provider: String,
}

/// What a process says.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// It is there.
    Listening { port: u16 },
}

/// A bridge, a gate, and tools behind it. Nothing is remembered in the process: what a token is good for is asked of the file.
pub(crate) struct Site {
    pub(crate) bridge: Bridge,
    pub(crate) router: Router,
    pub(crate) store: Arc<SqliteStore>,
    pub(crate) vault: GrantStore,
}

impl Site {
    pub(crate) async fn new(plan: &Plan, clock: Arc<dyn Clock>) -> Self {
        let store = Arc::new(open(&plan.database, Arc::clone(&clock)).await);
        let keys = KeyRing::from_file(&plan.key_file).expect("keys");
        let vault = GrantStore::new(Arc::clone(&store) as _, keys.clone()).expect("the keys are durable");
        let records = SealedStore::new(Arc::clone(&store) as _, keys).expect("the keys are durable");
        let egress = Egress::new(EgressConfig::new().with_loopback_allowed()).expect("a way out");
        let app = ClientAuthentication::basic(IdentityProvider::CLIENT_ID, IdentityProvider::CLIENT_SECRET.into());
        let provider =
            ProviderClient::new(provider(&plan.provider), app, egress.clone()).with_clock(Arc::clone(&clock));
        let bridge = Bridge::builder(config(plan), provider, egress)
            .with_clock(Arc::clone(&clock))
            .build(vault.clone(), records);
        let gate = AuthConfig::new(bridge.resource_metadata(), bridge.verifier()).with_clock(clock);
        let tools = Router::new().route("/mcp", get(whoami)).route("/mcp/upstream", get(upstream));
        let tools = tools.with_state(bridge.provider().clone()).layer(AuthLayer::new(gate));
        Self { router: tools.merge(bridge.router()), bridge, store, vault }
    }
}

fn config(plan: &Plan) -> BridgeConfig {
    let issuer = Issuer::new(&plan.issuer).expect("an issuer");
    let resource = ResourceUri::new(&format!("{}/mcp", plan.issuer)).expect("a resource");
    let redirect_uri = RedirectUri::new(REDIRECT_URI).expect("a redirect URI");
    BridgeConfig::new(issuer, resource)
        .with_scopes(ScopeSet::parse("mcp:read mcp:write").expect("scopes"))
        .with_upstream_scopes(ScopeSet::parse("openid email offline_access").expect("scopes"))
        .with_client(Client::public(APP, "App", vec![redirect_uri]))
        .expect("a client")
}

fn provider(issuer: &str) -> Provider {
    let at = |path| format!("{issuer}{path}").parse().expect("a URL");
    Provider::oidc_at(issuer.parse().expect("an issuer"), at("/authorize"), at("/token"))
        .with_userinfo_endpoint(at("/userinfo"))
        .with_revocation_endpoint(at("/revoke"))
        .with_jwks_uri(at("/jwks"))
}

async fn whoami(user: User) -> Json<Value> {
    Json(json!({ "subject": user.subject() }))
}

/// What the user's token at the provider is good for: the user that the provider knows by it, or the reason why there is none.
async fn upstream(State(provider): State<ProviderClient>, user: User) -> Json<Value> {
    let token = match user.upstream().access_token().await {
        Ok(token) => token,
        Err(error) => return Json(json!({ "reason": error.reason().to_string() })),
    };
    let generation = token.generation().number();
    Json(match provider.profile(&token).await {
        Ok(profile) => json!({ "subject": profile.subject(), "generation": generation }),
        Err(error) => json!({ "refused": error.reason().to_string(), "generation": generation }),
    })
}

#[test]
#[ignore = "run by the other tests as a process of its own"]
fn a_bridge_of_its_own() {
    let Ok(plan) = env::var(COMMANDS) else { return };
    let plan: Plan = serde_json::from_str(&plan).expect("a plan");
    tracing_subscriber::fmt().with_ansi(false).with_writer(io::stderr).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(serve(plan));
}

async fn serve(plan: Plan) {
    let site = Site::new(&plan, Arc::new(SystemClock::new())).await;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let mut stopped = standard_input_ends();
    say(&Report::Listening { port });
    tokio::select! {
        served = axum::serve(listener, site.router) => served.expect("it serves for ever"),
        _ = stopped.wait_for(|stopped| *stopped) => {}
    }
    site.bridge.shutdown().await;
}
