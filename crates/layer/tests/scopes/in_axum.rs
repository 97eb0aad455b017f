//! The layers on routers and routes of axum.

use axum::{Json, Router, body::Body, routing::post as on_post};
use http::Request;
use portcullis_layer::{
    AuthLayer,
    scope::{RequireScopeLayer, ToolScopesLayer},
};
use serde_json::Value;
use tower::ServiceExt as _;

use super::support::{Outcome, call, config, policy, post, scopes};

async fn ask(router: Router, path: &str, token: &str, body: &str) -> Outcome {
    let mut request: Request<Body> = post(token, body.to_owned()).map(Body::new);
    *request.uri_mut() = path.parse().expect("path");
    let response = router.oneshot(request).await.expect("response");
    let calls = usize::from(response.status() == 200);
    Outcome::of(response, calls).await
}

fn handler() -> axum::routing::MethodRouter {
    on_post(async |Json(message): Json<Value>| message["params"]["name"].to_string())
}

#[tokio::test]
async fn rs_18_a_router_whose_tools_need_scopes() {
    let router = Router::new().route("/mcp", handler());
    let router = router.layer(ToolScopesLayer::new(policy())).layer(AuthLayer::new(config()));
    ask(router.clone(), "/mcp", "none", &call("admin_echo")).await.assert_forbidden("admin audit");
    let passed = ask(router, "/mcp", "none", &call("echo")).await;
    passed.assert_passed();
    assert_eq!(passed.body, "\"echo\"");
}

#[tokio::test]
async fn rs_18_one_route_of_a_router_needs_a_scope() {
    let admin = Router::new().route("/admin", handler()).route_layer(RequireScopeLayer::new(scopes("admin")));
    let router = Router::new().route("/mcp", handler()).merge(admin).layer(AuthLayer::new(config()));
    ask(router.clone(), "/admin", "read", &call("echo")).await.assert_forbidden("admin");
    ask(router.clone(), "/admin", "admin", &call("echo")).await.assert_passed();
    ask(router, "/mcp", "read", &call("echo")).await.assert_passed();
}
