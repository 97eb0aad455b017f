//! Sends the requests of your own HTTP client with an access token that is obtained once for all of them, and renewed in time.
//!
//! ```text
//! cargo run -p portcullis-examples --example client
//! ```

use std::error::Error;

use axum::{Router, routing::post};
use http::{Request, StatusCode};
use portcullis::{
    AuthLayer, Issuer, ResourceServer, ResourceUri,
    client::{
        TokenEndpoint, TokenLayer, TokenManager,
        adapters::{self, ReqwestService},
        grants::{ClientCredentials, TokenTarget},
    },
    egress::{Egress, EgressConfig},
    extract::User,
    oauth::ClientAuthentication,
};
use portcullis_testkit::{Endpoint, IdentityProvider};
use tokio::{net::TcpListener, task::JoinSet};
use tower::{Layer as _, ServiceExt as _};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // An authorization server and an MCP server on this machine stand in for those that you call.
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/mcp", listener.local_addr()?);
    let provider = IdentityProvider::new().with_audience(&url);
    let running = provider.serve().await?;
    let local = EgressConfig::new().with_loopback_allowed(); // not in production
    let server = ResourceServer::new(&url)?.with_jwt_issuer(running.url())?.with_egress(local.clone()).build()?;
    let mcp = post(async |user: User| format!("Hello {}", user.subject()));
    let app = Router::new().route("/mcp", mcp).layer(AuthLayer::new(server));
    tokio::spawn(async { axum::serve(listener, app).await });

    // How tokens are obtained: here by the program itself, without a user. `McpLogin` is the grant for a user with a browser.
    let client = ClientAuthentication::basic(IdentityProvider::CLIENT_ID, IdentityProvider::CLIENT_SECRET.into());
    let endpoint = TokenEndpoint::discovered(Egress::new(local)?, Issuer::new(running.url())?, client);
    let grant = ClientCredentials::new(TokenTarget::new(ResourceUri::new(&url)?, endpoint));
    // One manager for each resource and user; its clones share everything.
    let manager = TokenManager::builder(grant).build();
    let http = reqwest::Client::builder().redirect(adapters::within_origin()).build()?;
    let client = TokenLayer::new(manager.clone()).layer(ReqwestService::new(http));

    // Concurrent requests: one token request.
    let request = || Request::post(&url).body("the body of each request");
    let mut calls = JoinSet::new();
    for _ in 0..20 {
        calls.spawn(client.clone().oneshot(request()?));
    }
    for response in calls.join_all().await {
        assert_eq!(response?.status(), StatusCode::OK);
    }
    assert_eq!(provider.calls(Endpoint::Token), 1);

    // A token that does not work any more: one token request for the next one.
    assert!(manager.invalidate_if(&manager.acquire().await?));
    assert_eq!(client.oneshot(request()?).await?.status(), StatusCode::OK);
    assert_eq!(provider.calls(Endpoint::Token), 2);
    println!("{:?}", manager.snapshot().state);
    manager.shutdown().await;
    Ok(())
}
