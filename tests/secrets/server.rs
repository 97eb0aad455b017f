//! A provider, and a gate and a bridge before it, on sockets, with a database.

use std::{path::PathBuf, sync::Arc};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use axum::{Router, routing::post};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use portcullis::{
    AuthConfig, AuthLayer, CacheConfig, Issuer, ResourceUri, ScopeSet,
    bridge::{
        AccessTokenKind, Bridge, BridgeConfig, Client, ClientMetadataDocumentPolicy, GrantType, IntrospectionClient,
        RedirectUri, SigningKeys, TrustedIssuer,
    },
    egress::{Egress, EgressConfig},
    extract::User,
    oauth::{ClientAuthentication, providers::Provider},
    refresh::GrantStore,
    sqlite::{SqliteConfig, SqliteStore},
    store::{KeyRing, SealedStore},
    types::Clock,
    upstream::{ProviderClient, UpstreamVerifier},
    verify::{Cache, RemoteKeySet},
};
use portcullis_test_support::{Endpoint, IdentityProvider, Network, OAuthClient, RunningIdentityProvider, TestClock};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::wiretap::Wiretap;

pub(crate) const SERVER: &str = "server";
pub(crate) const SERVER_SECRET: &str = "planted-secret-of-the-server-7d1e";
pub(crate) const API: &str = "api";
pub(crate) const API_SECRET: &str = "planted-secret-of-the-api-90aa";
const KEY: &[u8; 32] = b"planted-key-of-the-database-5f3c";

/// What the servers are set up with.
pub(crate) const PLANTED: [&str; 4] =
    [SERVER_SECRET, API_SECRET, IdentityProvider::CLIENT_SECRET, "planted-key-of-the-database-5f3c"];

pub(crate) struct Server {
    pub(crate) idp: IdentityProvider,
    pub(crate) clock: TestClock,
    pub(crate) wiretap: Wiretap,
    pub(crate) issuer: String,
    bridge: Bridge,
    running: RunningIdentityProvider,
    serving: JoinHandle<()>,
    folder: PathBuf,
}

impl Server {
    pub(crate) async fn start(kind: AccessTokenKind) -> Self {
        let (clock, wiretap) = (TestClock::new(), Wiretap::default());
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        let idp = IdentityProvider::new().with_clock(Arc::clone(&shared));
        let running = idp.serve().await.expect("a port");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let issuer = format!("http://{}", listener.local_addr().expect("an address"));

        let egress = Egress::new(EgressConfig::new().with_loopback_allowed()).expect("a client");
        let egress = wiretap.of_egress(egress);
        let secret = ClientAuthentication::basic(IdentityProvider::CLIENT_ID, IdentityProvider::CLIENT_SECRET.into());
        let provider = ProviderClient::new(provider(&idp), secret, egress.clone()).with_clock(Arc::clone(&shared));
        let folder = std::env::temp_dir().join(format!("portcullis-secrets-{:016x}", rand::random::<u64>()));
        std::fs::create_dir(&folder).expect("a folder");
        let store = SqliteStore::open(SqliteConfig::new(folder.join("bridge.db")).with_clock(Arc::clone(&shared)))
            .await
            .expect("a database");
        let store = Arc::new(store);
        let keys = KeyRing::new([KEY]).expect("a key");
        let vault = GrantStore::new(Arc::clone(&store) as _, keys.clone()).expect("a key that stays");
        let records = SealedStore::new(store, keys).expect("a key that stays");

        let profiles = provider.profile_verifier();
        let config = config(&issuer, kind, &idp, &egress);
        let bridge = Bridge::builder(config, provider, egress).with_clock(Arc::clone(&shared)).build(vault, records);
        let users = UpstreamVerifier::new(bridge.verifier(), profiles);
        let users = Cache::around(users, CacheConfig::new().with_clock(Arc::clone(&shared)));
        let gate = AuthConfig::new(bridge.resource_metadata(), users).with_clock(shared);
        let mcp = Router::new().route("/mcp", post(tool)).layer(AuthLayer::new(gate));
        let router = wiretap.of_router(mcp.merge(bridge.router()));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.expect("served") });
        Self { idp, clock, wiretap, issuer, bridge, running, serving, folder }
    }

    pub(crate) async fn client(&self) -> OAuthClient {
        OAuthClient::discover(&Network::new(), &self.issuer).await.expect("metadata")
    }

    /// What is in the database's files, as they are after a clean end and before it.
    pub(crate) async fn stop(self) -> Vec<Vec<u8>> {
        let mut files = read(&self.folder);
        self.bridge.shutdown().await;
        self.serving.abort();
        self.running.shutdown().await;
        files.extend(read(&self.folder));
        std::fs::remove_dir_all(&self.folder).expect("removed");
        files
    }
}

fn read(folder: &PathBuf) -> Vec<Vec<u8>> {
    let files = std::fs::read_dir(folder).expect("a folder").map(|file| file.expect("a file").path());
    files.map(|path| std::fs::read(path).expect("bytes")).collect()
}

/// A tool that needs the provider, and reports its token.
async fn tool(user: User) -> String {
    let upstream = user.upstream();
    let Ok(token) = upstream.access_token().await else { return "no token".to_owned() };
    let refused = upstream.rejected(&token).await;
    format!("{} {}", user.subject(), refused.is_ok())
}

fn config(issuer: &str, kind: AccessTokenKind, idp: &IdentityProvider, egress: &Egress) -> BridgeConfig {
    let redirect_uris = vec![RedirectUri::new(OAuthClient::REDIRECT_URI).expect("a redirect URI")];
    let resource = ResourceUri::new(&format!("{issuer}/mcp")).expect("a resource");
    let grant_types = [GrantType::AuthorizationCode, GrantType::RefreshToken, GrantType::JwtBearer];
    let server =
        Client::confidential(SERVER, "Server", &SERVER_SECRET.into(), redirect_uris).with_grant_types(grant_types);
    let trusted: Issuer = idp.issuer().parse().expect("an issuer");
    let keys = RemoteKeySet::discovered(trusted.clone(), egress.clone());
    BridgeConfig::new(issuer.parse().expect("an issuer"), resource.clone())
        .with_scopes(ScopeSet::parse("mcp:read mcp:write").expect("scopes"))
        .with_upstream_scopes(ScopeSet::parse("openid email offline_access").expect("scopes"))
        .with_access_tokens(kind)
        .with_client(server)
        .expect("a client")
        .with_documents(ClientMetadataDocumentPolicy::new().with_loopback_allowed())
        .with_introspection_client(IntrospectionClient::new(API, &API_SECRET.into(), resource))
        .with_trusted_issuer(TrustedIssuer::new(trusted, keys))
}

fn provider(idp: &IdentityProvider) -> Provider {
    let at = |endpoint| idp.endpoint_url(endpoint).parse::<http::Uri>().expect("a URI");
    let issuer = idp.issuer().parse().expect("an issuer");
    Provider::oidc_at(issuer, at(Endpoint::Authorization), at(Endpoint::Token))
        .with_userinfo_endpoint(at(Endpoint::UserInfo))
        .with_revocation_endpoint(at(Endpoint::Revocation))
        .with_introspection_endpoint(at(Endpoint::Introspection))
        .with_jwks_uri(at(Endpoint::KeySet))
}

/// A new key, in PEM.
pub(crate) fn signing_keys() -> SigningKeys {
    let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).expect("a key");
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", BASE64_STANDARD.encode(der));
    SigningKeys::new(&pem.into()).expect("a key")
}
