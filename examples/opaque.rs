//! Accepts opaque access tokens, which the authorization server introspects (RFC 7662).
//!
//! ```text
//! cargo run -p portcullis-examples --example opaque
//! ```

use std::error::Error;

use axum::{Router, body::Body, routing::post};
use http::{Request, StatusCode, header};
use portcullis::{AuthLayer, ResourceServer, egress::EgressConfig, extract::User, oauth::ClientAuthentication};
use portcullis_testkit::{Endpoint, Fault, IdentityProvider};
use tower::ServiceExt as _;

const RESOURCE: &str = "https://mcp.example.com/mcp";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // An authorization server on this machine stands in for yours.
    let provider = IdentityProvider::new().with_audience(RESOURCE);
    let running = provider.serve().await?;

    // The credentials of this server at the authorization server.
    let client = ClientAuthentication::basic(IdentityProvider::CLIENT_ID, IdentityProvider::CLIENT_SECRET.into());
    let config = ResourceServer::new(RESOURCE)?
        .with_introspection_issuer(running.url(), client)?
        // Not in production: it permits requests to the local machine.
        .with_egress(EgressConfig::new().with_loopback_allowed())
        .build()?;
    let app = Router::new()
        .route("/mcp", post(async |user: User| format!("Hello {}", user.subject())))
        .layer(AuthLayer::new(config));
    let call = async |token: &str| {
        let request = Request::post("/mcp").header(header::AUTHORIZATION, format!("Bearer {token}"));
        Ok::<_, Box<dyn Error>>(app.clone().oneshot(request.body(Body::empty())?).await?)
    };

    // The token is introspected once: the second request is served from the cache.
    let token = provider.token("alice").opaque();
    assert_eq!(call(&token).await?.status(), StatusCode::OK);
    assert_eq!(call(&token).await?.status(), StatusCode::OK);
    assert_eq!(provider.calls(Endpoint::Introspection), 1);

    // A token that the authorization server does not know: 401.
    assert_eq!(call("unknown").await?.status(), StatusCode::UNAUTHORIZED);

    // An outage of the authorization server: 503 and not 401, because a login would not help. The cached token is still valid.
    provider.set_fault(Endpoint::Introspection, Fault::status(500));
    let response = call(&provider.token("bob").opaque()).await?;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.headers().contains_key(header::RETRY_AFTER));
    assert_eq!(call(&token).await?.status(), StatusCode::OK);
    Ok(())
}
