//! `BridgedServer`, from the login to the call of a tool.
#![cfg(all(feature = "bridge", feature = "sqlite"))]

use std::{fs, path::PathBuf};

use axum::{Router, body::Body, routing::get};
use http::{Request, StatusCode, header};
use portcullis::{
    AuthLayer, BridgedServer, BuildError, Issuer, ResourceUri, ScopeSet,
    bridge::BridgeConfig,
    egress::EgressConfig,
    extract::{UpstreamToken, User},
    oauth::{ClientAuthentication, providers::Provider},
    sqlite::SqliteStore,
    store::KeyRing,
};
use portcullis_test_support::{Browser, Endpoint, IdentityProvider, Network, OAuthClient};
use tower::ServiceExt as _;

const ORIGIN: &str = "https://mcp.example.test";
const RESOURCE: &str = "https://mcp.example.test/mcp";

fn server(provider: &IdentityProvider) -> BridgedServer {
    let at = |endpoint| provider.endpoint_url(endpoint).parse::<http::Uri>().expect("a URL");
    let issuer = Issuer::new(&provider.issuer()).expect("an issuer");
    let upstream = Provider::oidc_at(issuer, at(Endpoint::Authorization), at(Endpoint::Token))
        .with_userinfo_endpoint(at(Endpoint::UserInfo))
        .with_jwks_uri(at(Endpoint::KeySet));
    let app = ClientAuthentication::basic(IdentityProvider::CLIENT_ID, IdentityProvider::CLIENT_SECRET.into());
    let resource = ResourceUri::new(RESOURCE).expect("a resource");
    let config = BridgeConfig::new(Issuer::new(ORIGIN).expect("an issuer"), resource)
        .with_upstream_scopes(ScopeSet::parse("openid profile offline_access").expect("scopes"));
    BridgedServer::new(config, upstream, app).with_provider_egress(EgressConfig::new().with_loopback_allowed())
}

#[tokio::test]
async fn a_user_logs_in_and_a_handler_has_the_providers_token() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let (gate, bridge) = server(&provider).with_resource_name("The server").build().expect("it goes together");
    let hello =
        get(async |user: User, token: UpstreamToken| format!("{} {}", user.subject(), token.generation().number()));
    let app = bridge.router().merge(Router::new().route("/mcp", hello).layer(AuthLayer::new(gate)));

    let network = Network::new().with_service(ORIGIN, app.clone().into_service());
    let client = OAuthClient::discover(&network, ORIGIN).await.expect("metadata");
    let mut client = client.with_resource(RESOURCE);
    client.register(&client.registration()).await.expect("answer");
    let mut browser = Browser::new(network).with_stop_at(client.redirect_uri());
    let tokens = client.log_in(&mut browser, "alice").await.expect("a code");

    let ask = async |token: &str| {
        let request = Request::get("/mcp").header(header::AUTHORIZATION, format!("Bearer {token}"));
        app.clone().oneshot(request.body(Body::empty()).expect("a request")).await.expect("a response")
    };
    let response = ask(tokens.access_token()).await;
    assert_eq!(response.status(), StatusCode::OK);
    let body = axum::body::to_bytes(response.into_body(), 1000).await.expect("a body");
    assert_eq!(body, "alice 0");

    let issuer = Issuer::new(running.url()).expect("an issuer");
    assert!(bridge.end_sessions_of(&issuer, "alice").await.is_ok_and(|ended| ended == 1));
    assert_eq!(ask(tokens.access_token()).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_store_that_outlives_its_keys_is_refused() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("ephemeral");
    fs::create_dir_all(&folder).expect("a folder");
    let store = SqliteStore::open(folder.join("portcullis.db")).await.expect("a store");
    let refused = server(&IdentityProvider::new()).with_store(store, KeyRing::ephemeral()).await;
    assert!(matches!(refused, Err(BuildError::EphemeralKey(_))));
}
