//! axum: the extractor, a nested layer, CORS outside.

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, to_bytes},
    routing::{any, get, post},
};
use http::{Request, Response, StatusCode};
use portcullis_core::UserContext;
use portcullis_layer::{AuthLayer, extract::User, metadata_routes};
use tower::ServiceExt as _;

use super::support::{Verifier, config};

fn request(method: &str, path: &str, token: &str) -> Request<Body> {
    let request = Request::builder().method(method).uri(path).header("authorization", format!("Bearer {token}"));
    request.body(Body::empty()).expect("request")
}

async fn text(response: Response<Body>) -> String {
    let body = to_bytes(response.into_body(), usize::MAX).await.expect("body");
    String::from_utf8(body.to_vec()).expect("text")
}

#[tokio::test]
async fn a_handler_receives_the_user() {
    let app = Router::new()
        .route("/mcp", post(async |user: User| user.subject().to_owned()))
        .layer(AuthLayer::new(config(&Verifier::new())));
    let response = app.clone().oneshot(request("POST", "/mcp", "alice")).await.expect("response");
    assert_eq!(text(response).await, "alice");
    let response = app.oneshot(request("POST", "/mcp", "junk")).await.expect("response");
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_forgotten_layer_is_500_and_never_an_anonymous_user() {
    let app: Router = Router::new().route("/mcp", post(async |_: User| "reached"));
    let response = app.oneshot(request("POST", "/mcp", "alice")).await.expect("response");
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn on_an_open_path_there_may_be_no_user() {
    let handler =
        get(async |user: Option<User>| user.map_or_else(|| "anonymous".to_owned(), |user| user.subject().to_owned()));
    let open = config(&Verifier::new()).with_open_path("/open");
    let app = Router::new().route("/open", handler).layer(AuthLayer::new(open));
    assert_eq!(text(app.oneshot(request("GET", "/open", "alice")).await.expect("response")).await, "anonymous");
}

#[tokio::test]
async fn tr_13_metadata_routes_serve_what_a_nested_layer_never_sees() {
    let config = config(&Verifier::new());
    let mcp = Router::new().route("/", any(async |user: User| user.subject().to_owned()));
    let app: Router =
        Router::new().nest("/mcp", mcp.layer(AuthLayer::new(config.clone()))).merge(metadata_routes(&config));
    for path in ["/.well-known/oauth-protected-resource/mcp", "/.well-known/oauth-protected-resource/mcp/"] {
        let request = Request::get(path).body(Body::empty()).expect("request");
        let response = app.clone().oneshot(request).await.expect("response");
        assert_eq!(response.headers()["content-type"], "application/json", "{path}");
        assert!(text(response).await.contains("authorization_servers"));
    }
    let response = app.oneshot(request("GET", "/mcp", "alice")).await.expect("response");
    assert_eq!(text(response).await, "alice");
}

#[tokio::test]
async fn tr_12_with_cors_outside_a_browser_can_read_the_challenge() {
    use http::{HeaderName, Method};
    use tower_http::cors::{Any, CorsLayer};

    let cors = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers(["authorization", "content-type", "mcp-protocol-version"].map(HeaderName::from_static))
        .expose_headers(["www-authenticate", "mcp-session-id"].map(HeaderName::from_static));
    let app = Router::new()
        .route("/mcp", post(async |user: User| user.subject().to_owned()))
        .layer(AuthLayer::new(config(&Verifier::new())))
        .layer(cors);
    let mut rejected = request("POST", "/mcp", "junk");
    rejected.headers_mut().insert("origin", "https://app.example".parse().expect("value"));
    let response = app.clone().oneshot(rejected).await.expect("response");
    assert_eq!(response.status(), 401);
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
    assert!(response.headers()["access-control-expose-headers"].to_str().expect("text").contains("www-authenticate"));

    let preflight = Request::options("/mcp")
        .header("origin", "https://app.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization");
    let response = app.oneshot(preflight.body(Body::empty()).expect("request")).await.expect("response");
    assert_eq!(response.status(), 200);
    let allowed = response.headers()["access-control-allow-headers"].to_str().expect("text").to_owned();
    assert!(allowed.contains("authorization"), "{allowed}");
}

#[tokio::test]
async fn tr_18_the_principal_is_offered_for_binding_handles() {
    let handler = post(async |request: Request<Body>| {
        let user = request.extensions().get::<Arc<UserContext>>().expect("verified");
        format!("{}|{}", user.principal().issuer(), user.principal().subject())
    });
    let app = Router::new().route("/mcp", handler).layer(AuthLayer::new(config(&Verifier::new())));
    let response = app.oneshot(request("POST", "/mcp", "alice")).await.expect("response");
    assert_eq!(text(response).await, "https://idp.example.com|alice");
}
