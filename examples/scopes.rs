//! Requires scopes: one of every request, another of a single MCP tool.
//!
//! ```text
//! cargo run -p portcullis-examples --example scopes
//! ```

use std::error::Error;

use axum::{Router, body::Body, response::Response, routing::post};
use http::{Request, StatusCode, header};
use portcullis::{
    AuthLayer, ResourceServer, ScopeSet,
    egress::EgressConfig,
    layer::scope::{OperationPolicy, ToolScopesLayer},
};
use portcullis_testkit::IdentityProvider;
use tower::ServiceExt as _;

const RESOURCE: &str = "https://mcp.example.com/mcp";

async fn call(app: &Router, token: &str, tool: &str) -> Result<Response, Box<dyn Error>> {
    let message = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}"}}}}"#);
    let request = Request::post("/mcp").header(header::AUTHORIZATION, format!("Bearer {token}"));
    Ok(app.clone().oneshot(request.body(Body::from(message))?).await?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // An authorization server on this machine stands in for yours.
    let provider = IdentityProvider::new().with_audience(RESOURCE);
    let running = provider.serve().await?;

    let config = ResourceServer::new(RESOURCE)?
        .with_jwt_issuer(running.url())?
        // Not in production: it permits requests to the local machine.
        .with_egress(EgressConfig::new().with_loopback_allowed())
        .build()?
        .with_required_scopes(ScopeSet::parse("mcp:use")?);
    // The challenge names exactly these scopes, so the policy repeats the scope that every request needs.
    let tools = OperationPolicy::new().with_tool("delete_user", ScopeSet::parse("mcp:use mcp:admin")?);
    let app = Router::new()
        .route("/mcp", post(async || "done")) // your MCP server
        .layer(ToolScopesLayer::new(tools))
        .layer(AuthLayer::new(config));

    let (user, admin) = (provider.token("alice").with_scope("mcp:use"), provider.token("ada"));
    let (user, admin) = (user.jwt(), admin.with_scope("mcp:use mcp:admin").jwt());
    assert_eq!(call(&app, &user, "list_users").await?.status(), StatusCode::OK);
    assert_eq!(call(&app, &admin, "delete_user").await?.status(), StatusCode::OK);

    // Insufficient scope: 403, and a challenge with all scopes that the tool needs.
    let response = call(&app, &user, "delete_user").await?;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    let challenge = response.headers()[header::WWW_AUTHENTICATE].to_str()?;
    assert!(challenge.contains(r#"error="insufficient_scope""#) && challenge.contains(r#"scope="mcp:use mcp:admin""#));
    println!("{challenge}");
    Ok(())
}
