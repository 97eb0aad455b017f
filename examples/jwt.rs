//! Accepts JWT access tokens of one authorization server.
//!
//! ```text
//! cargo run -p portcullis-examples --example jwt
//! ```

use std::error::Error;

use axum::{Router, body::Body, routing::post};
use http::{Request, StatusCode, header};
use portcullis::{AuthLayer, ResourceServer, egress::EgressConfig, extract::User};
use portcullis_testkit::IdentityProvider;
use tower::ServiceExt as _;

const RESOURCE: &str = "https://mcp.example.com/mcp";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // An authorization server on this machine stands in for yours.
    let provider = IdentityProvider::new().with_audience(RESOURCE);
    let running = provider.serve().await?;

    let config = ResourceServer::new(RESOURCE)?
        .with_jwt_issuer(running.url())?
        // Not in production: it permits requests to the local machine.
        .with_egress(EgressConfig::new().with_loopback_allowed())
        .build()?;
    let app = Router::new()
        .route("/mcp", post(async |user: User| format!("Hello {}", user.subject())))
        .layer(AuthLayer::new(config));

    // A valid token: the handler receives the user.
    let token = provider.token("alice").jwt();
    let request = Request::post("/mcp").header(header::AUTHORIZATION, format!("Bearer {token}"));
    let response = app.clone().oneshot(request.body(Body::empty())?).await?;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(axum::body::to_bytes(response.into_body(), 100).await?, "Hello alice");

    // A token for another resource: 401.
    let token = provider.token("alice").with_audience("https://other.example.com").jwt();
    let request = Request::post("/mcp").header(header::AUTHORIZATION, format!("Bearer {token}"));
    let response = app.clone().oneshot(request.body(Body::empty())?).await?;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);

    // No token: 401, and a challenge that names the metadata, from which a client learns where to log in.
    let response = app.oneshot(Request::post("/mcp").body(Body::empty())?).await?;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let challenge = response.headers()[header::WWW_AUTHENTICATE].to_str()?;
    assert!(challenge.contains("https://mcp.example.com/.well-known/oauth-protected-resource/mcp"));
    println!("{challenge}");
    Ok(())
}
