//! Calls the provider's API with the user's upstream token, which is refreshed when it expires.
//!
//! ```text
//! cargo run -p portcullis-examples --example upstream
//! ```

use std::error::Error;

use axum::{Router, body::Body, extract::State, routing::post};
use http::{Request, StatusCode, header};
use portcullis::{
    AuthLayer, BridgedServer, Issuer, ResourceUri, ScopeSet,
    bridge::BridgeConfig,
    egress::{Egress, EgressConfig},
    extract::UpstreamToken,
    oauth::{ClientAuthentication, providers::Provider},
    verify::discover,
};
use portcullis_test_support::{Browser, Endpoint, IdentityProvider, Network, OAuthClient};
use tower::ServiceExt as _;

const ORIGIN: &str = "https://mcp.example.com";
const RESOURCE: &str = "https://mcp.example.com/mcp";

/// The token is valid when the handler begins. If the user's grant has ended, the handler is not called and the client gets 401.
async fn profile(State(api): State<String>, token: UpstreamToken) -> Result<String, StatusCode> {
    let request = reqwest::Client::new().get(api).header(header::AUTHORIZATION, token.authorization());
    let response = request.send().await.map_err(|_| StatusCode::BAD_GATEWAY)?;
    response.text().await.map_err(|_| StatusCode::BAD_GATEWAY)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // An OpenID provider on this machine stands in for yours.
    let idp = IdentityProvider::new();
    let running = idp.serve().await?;
    let egress = EgressConfig::new().with_loopback_allowed(); // not in production
    let metadata = discover(&Egress::new(egress.clone())?, &Issuer::new(running.url())?).await?;
    let provider = Provider::oidc(&metadata)?;
    let config = BridgeConfig::new(Issuer::new(ORIGIN)?, ResourceUri::new(RESOURCE)?)
        .with_upstream_scopes(ScopeSet::parse("openid email offline_access")?);
    let client = ClientAuthentication::basic(IdentityProvider::CLIENT_ID, IdentityProvider::CLIENT_SECRET.into());
    let (auth, bridge) = BridgedServer::new(config, provider, client).with_provider_egress(egress).build()?;
    let mcp = post(profile).with_state(idp.endpoint_url(Endpoint::UserInfo));
    let app = bridge.router().merge(Router::new().route("/mcp", mcp).layer(AuthLayer::new(auth)));

    let network = Network::new().with_service(ORIGIN, app.clone().into_service());
    let mut client = OAuthClient::discover(&network, ORIGIN).await?.with_resource(RESOURCE);
    client.register(&client.registration()).await?;
    let tokens = client.log_in(&mut Browser::new(network), "alice").await?;
    let request = Request::post("/mcp").header(header::AUTHORIZATION, format!("Bearer {}", tokens.access_token()));
    let response = app.oneshot(request.body(Body::empty())?).await?;
    assert_eq!(response.status(), StatusCode::OK);
    let profile = axum::body::to_bytes(response.into_body(), 1000).await?;
    assert!(String::from_utf8(profile.into())?.contains("alice@example.test"));
    Ok(())
}
