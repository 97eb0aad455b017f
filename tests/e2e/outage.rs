//! The provider goes away, and comes back.

use reqwest::{Response, StatusCode, header};
use serde_json::json;

use crate::harness::{Format, GATE_SECRET, McpServer, Provider, call, free_port};

async fn whoami(server: &McpServer, token: &str) -> Response {
    call(&server.url, "whoami", &json!({})).bearer_auth(token).send().await.expect("an answer")
}

/// An outage does not demand a new login.
fn assert_unavailable(answer: &Response) {
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    let seconds = answer.headers()[header::RETRY_AFTER].to_str().expect("text").parse::<u64>().expect("seconds");
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert!(!answer.headers().contains_key(header::WWW_AUTHENTICATE));
}

#[tokio::test]
async fn a_server_that_starts_without_its_provider_waits_for_it() {
    let port = free_port();
    let provider = Provider::start_with(Format::Jwt, port, 300).await;
    let issuer = provider.issuer.clone();
    let token = provider.login("alice", "http://127.0.0.1:2/mcp", "mcp:read").await.access();
    provider.kill().await;

    let server = McpServer::start_with(&issuer, "", "", "").await;
    server.until_ready(503).await;
    assert_unavailable(&whoami(&server, &token).await);
    // A request without a token is told where to log in all the same.
    let anonymous = call(&server.url, "whoami", &json!({})).send().await.expect("an answer");
    assert_eq!(anonymous.status(), StatusCode::UNAUTHORIZED);

    let provider = Provider::start_with(Format::Jwt, port, 300).await;
    server.until_ready(200).await;
    let token = provider.login("alice", &server.url, "mcp:read").await.access();
    assert_eq!(whoami(&server, &token).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn jwts_are_verified_with_the_keys_at_hand_when_the_provider_is_gone() {
    let provider = Provider::start(Format::Jwt).await;
    let server = McpServer::start(&provider.issuer, "").await;
    let alice = provider.login("alice", &server.url, "mcp:read").await.access();
    let bob = provider.login("bob", &server.url, "mcp:read").await.access();
    assert_eq!(whoami(&server, &alice).await.status(), StatusCode::OK);
    provider.kill().await;
    assert_eq!(whoami(&server, &alice).await.status(), StatusCode::OK, "remembered");
    assert_eq!(whoami(&server, &bob).await.status(), StatusCode::OK, "never seen before");
    server.until_ready(200).await;
}

#[tokio::test]
async fn users_who_are_remembered_go_on_when_the_provider_that_introspects_is_gone() {
    let provider = Provider::start(Format::Opaque).await;
    let settings = format!("verify = \"introspection\"\nclient_id = \"gate\"\nclient_secret = \"{GATE_SECRET}\"");
    let server = McpServer::start(&provider.issuer, &settings).await;
    let alice = provider.login("alice", &server.url, "mcp:read").await.access();
    let bob = provider.login("bob", &server.url, "mcp:read").await.access();
    assert_eq!(whoami(&server, &alice).await.status(), StatusCode::OK);
    provider.kill().await;
    assert_unavailable(&whoami(&server, &bob).await);
    assert_eq!(whoami(&server, &alice).await.status(), StatusCode::OK);
}
