//! An authorization server for MCP clients in this process (bridge), with login at a provider.
//!
//! ```text
//! cargo run -p portcullis-examples --example bridge
//! ```

use std::error::Error;

use axum::{Router, body::Body, routing::post};
use http::{Request, StatusCode, header};
use portcullis::{
    AuthLayer, BridgedServer, Issuer, ResourceUri, ScopeSet,
    bridge::BridgeConfig,
    egress::{Egress, EgressConfig},
    extract::User,
    oauth::{ClientAuthentication, providers::Provider},
    verify::discover,
};
use portcullis_test_support::{Browser, IdentityProvider, Network, OAuthClient};
use tower::ServiceExt as _;

const ORIGIN: &str = "https://mcp.example.com";
const RESOURCE: &str = "https://mcp.example.com/mcp";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // An OpenID provider on this machine stands in for yours, such as `Provider::github()`.
    let idp = IdentityProvider::new();
    let running = idp.serve().await?;
    let egress = EgressConfig::new().with_loopback_allowed(); // not in production
    let metadata = discover(&Egress::new(egress.clone())?, &Issuer::new(running.url())?).await?;
    let provider = Provider::oidc(&metadata)?;

    let config = BridgeConfig::new(Issuer::new(ORIGIN)?, ResourceUri::new(RESOURCE)?)
        .with_upstream_scopes(ScopeSet::parse("openid offline_access")?);
    // The credentials of this server at the provider. There, register the redirect URI https://mcp.example.com/callback.
    let client = ClientAuthentication::basic(IdentityProvider::CLIENT_ID, IdentityProvider::CLIENT_SECRET.into());
    let (auth, bridge) = BridgedServer::new(config, provider, client).with_provider_egress(egress).build()?;
    let mcp = post(async |user: User| format!("Hello {}", user.subject()));
    let app = bridge.router().merge(Router::new().route("/mcp", mcp).layer(AuthLayer::new(auth)));

    // What an MCP client does: it reads the metadata, registers itself, and sends the user's browser to log in.
    let network = Network::new().with_service(ORIGIN, app.clone().into_service());
    let mut client = OAuthClient::discover(&network, ORIGIN).await?.with_resource(RESOURCE);
    client.register(&client.registration()).await?;
    let tokens = client.log_in(&mut Browser::new(network), "alice").await?;

    let request = Request::post("/mcp").header(header::AUTHORIZATION, format!("Bearer {}", tokens.access_token()));
    let response = app.oneshot(request.body(Body::empty())?).await?;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(axum::body::to_bytes(response.into_body(), 100).await?, "Hello alice");
    assert_eq!(bridge.shutdown().await, 0, "every grant is saved");
    Ok(())
}
