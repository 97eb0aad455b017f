//! Both protocol versions, and requests of browsers.

use portcullis_testkit::IdentityProvider;
use reqwest::{Client, Method, Response, StatusCode, header};
use serde_json::{Value, json};

use crate::process::{Running, text};

/// Returns the message of an event stream with one event.
async fn message(response: Response) -> Value {
    assert_eq!(response.status(), StatusCode::OK);
    let text = response.text().await.expect("text");
    let data = text.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim).find(|data| !data.is_empty());
    assert!(data.is_some(), "{text}");
    serde_json::from_str(data.unwrap_or_default()).expect("JSON")
}

fn initialize() -> Value {
    let params =
        json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}});
    json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params})
}

fn call_whoami() -> Value {
    json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "whoami", "arguments": {}}})
}

#[tokio::test]
async fn version_2025_11_25_has_sessions_that_are_bound_to_their_user() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let server = Running::start(running.url(), "").await;
    let alice = || provider.token("alice").with_audience(&server.url()).jwt();
    let mallory = provider.token("mallory").with_audience(&server.url()).jwt();

    let opened = server.post(&initialize()).bearer_auth(alice()).send().await.expect("answer");
    let session = opened.headers()["mcp-session-id"].clone();
    assert_eq!(message(opened).await["result"]["protocolVersion"], "2025-11-25");
    let in_session = |body: &Value, token: &str| {
        let request = server.post(body).bearer_auth(token).header("mcp-session-id", &session);
        request.header("mcp-protocol-version", "2025-11-25").send()
    };
    let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    assert_eq!(in_session(&initialized, &alice()).await.expect("answer").status(), StatusCode::ACCEPTED);

    // A new token of the same user can continue the session.
    let answer = message(in_session(&call_whoami(), &alice()).await.expect("answer")).await;
    let user: Value = serde_json::from_str(text(&answer)).expect("JSON");
    assert_eq!(user["subject"], "alice");

    let stolen = in_session(&call_whoami(), &mallory).await.expect("answer");
    assert_eq!(stolen.status(), StatusCode::NOT_FOUND);

    let closed =
        Client::new().delete(server.url()).bearer_auth(alice()).header("mcp-session-id", &session).send().await;
    assert!(closed.expect("answer").status().is_success());
    assert_eq!(in_session(&call_whoami(), &alice()).await.expect("answer").status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn version_2026_07_28_has_discovery_and_no_sessions() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let server = Running::start(running.url(), "").await;
    let token = provider.token("alice").with_audience(&server.url()).jwt();
    let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}});
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "server/discover", "params": {"_meta": meta}});
    let request =
        server.post(&body).header("mcp-protocol-version", "2026-07-28").header("mcp-method", "server/discover");
    let response = request.bearer_auth(&token).send().await.expect("answer");
    assert!(!response.headers().contains_key("mcp-session-id"));
    let answer: Value = response.json().await.expect("JSON");
    let versions = answer["result"]["supportedVersions"].as_array().expect("versions");
    assert!(versions.contains(&json!("2026-07-28")) && versions.contains(&json!("2025-11-25")), "{answer}");
}

#[tokio::test]
async fn tr_01_a_foreign_origin_is_rejected_before_the_token_is_verified() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let server = Running::start(running.url(), "").await;
    let from = |origin: &str| server.post(&initialize()).header(header::ORIGIN, origin).send();
    assert_eq!(from("https://evil.example").await.expect("answer").status(), StatusCode::FORBIDDEN);
    assert_eq!(from("null").await.expect("answer").status(), StatusCode::FORBIDDEN);
    assert_eq!(from("http://localhost:6274").await.expect("answer").status(), StatusCode::UNAUTHORIZED);
    let rebound = server.post(&initialize()).header(header::HOST, "evil.example").send().await.expect("answer");
    assert_eq!(rebound.status(), StatusCode::FORBIDDEN);
    let token = provider.token("alice").with_audience(&server.url()).jwt();
    let allowed = server.post(&initialize()).header(header::ORIGIN, "http://localhost:6274").bearer_auth(token).send();
    assert_eq!(allowed.await.expect("answer").status(), StatusCode::OK);
}

#[tokio::test]
async fn tr_12_browser_clients_may_send_requests_and_read_the_challenge() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let server = Running::start(running.url(), "").await;
    let requested = "authorization,content-type,mcp-protocol-version,mcp-session-id,last-event-id,mcp-method,mcp-name,mcp-param-x,dpop";
    let preflight = Client::new()
        .request(Method::OPTIONS, server.url())
        .header(header::ORIGIN, "http://localhost:6274")
        .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST")
        .header(header::ACCESS_CONTROL_REQUEST_HEADERS, requested)
        .send()
        .await
        .expect("answer");
    assert_eq!(preflight.status(), StatusCode::OK);
    assert_eq!(preflight.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], "http://localhost:6274");
    assert_eq!(preflight.headers()[header::ACCESS_CONTROL_ALLOW_HEADERS], requested);

    let refused =
        server.post(&initialize()).header(header::ORIGIN, "http://localhost:6274").send().await.expect("answer");
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(refused.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], "http://localhost:6274");
    let exposed = refused.headers()[header::ACCESS_CONTROL_EXPOSE_HEADERS].to_str().expect("ASCII");
    assert!(exposed.contains("www-authenticate") && exposed.contains("mcp-session-id"), "{exposed}");
}

#[tokio::test]
async fn tr_13_the_metadata_is_public() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let server = Running::start(running.url(), "").await;
    let url = server.url().replace("/mcp", "/.well-known/oauth-protected-resource/mcp");
    let request = Client::new().get(url).header(header::ORIGIN, "https://elsewhere.example");
    let response = request.send().await.expect("answer");
    let allowed = &response.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN];
    assert_eq!(allowed, "https://elsewhere.example");
    let metadata: Value = response.json().await.expect("JSON");
    assert_eq!(metadata["resource"], server.url());
    assert_eq!(metadata["authorization_servers"], json!([running.url()]));
    assert_eq!(metadata.get("scopes_supported"), None, "basic use requires no scope");
}

#[tokio::test]
async fn a_slash_after_the_resource_is_ignored_and_other_paths_are_not_found_without_a_challenge() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let server = Running::start(running.url(), "").await;
    let url = server.url().to_string();
    let origin = url.strip_suffix("/mcp").expect("the resource");
    let post = async |path: &str| Client::new().post(format!("{origin}{path}")).send().await.expect("answer");
    for path in ["/mcp", "/mcp/", "/mcp/?a=b"] {
        let response = post(path).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{path}");
        let challenge = response.headers()[header::WWW_AUTHENTICATE].to_str().expect("ASCII");
        assert!(challenge.contains("/.well-known/oauth-protected-resource/mcp"), "{challenge}");
    }
    for path in [
        "/",
        "/sse",
        "/mcp//",
        "/mcp/sse",
        "/mcp/.well-known/oauth-protected-resource",
        "/.well-known/oauth-authorization-server/mcp",
        "/.well-known/openid-configuration",
        "/.well-known/oauth-protected-resource/other",
    ] {
        let response = post(path).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        assert_eq!(response.headers().get(header::WWW_AUTHENTICATE), None, "{path}");
    }
    let token = provider.token("alice").with_audience(&server.url()).jwt();
    let works = Client::new().post(format!("{origin}/mcp/")).bearer_auth(token);
    let works = works.header(header::ACCEPT, "application/json, text/event-stream").json(&initialize());
    assert_eq!(works.send().await.expect("answer").status(), StatusCode::OK);
}
