//! A certified provider issues JWTs, and the example takes them.

use reqwest::{Client, StatusCode, header};
use serde_json::{Value, json};

use crate::harness::{Format, McpServer, Provider, call, message, tool_text};

/// The user that `whoami` describes.
async fn whoami(server: &McpServer, token: &str) -> Value {
    let answer = call(&server.url, "whoami", &json!({})).bearer_auth(token).send().await.expect("an answer");
    serde_json::from_str(&tool_text(answer).await).expect("a user")
}

/// Status and challenge of the answer to a call with `token`.
async fn refusal(server: &McpServer, token: &str) -> (StatusCode, String) {
    let answer = call(&server.url, "whoami", &json!({})).bearer_auth(token).send().await.expect("an answer");
    (answer.status(), answer.headers()[header::WWW_AUTHENTICATE].to_str().expect("text").to_owned())
}

#[tokio::test]
async fn rs_07_the_real_token_of_a_user_is_accepted_and_says_who_it_is() {
    let provider = Provider::start(Format::Jwt).await;
    let server = McpServer::start(&provider.issuer, "").await;
    let tokens = provider.login("alice", &server.url, "openid mcp:read").await;
    let user = whoami(&server, &tokens.access()).await;
    assert_eq!(user["issuer"], provider.issuer);
    assert_eq!(user["subject"], "alice");
    assert_eq!(user["kind"], "user");
    assert_eq!(user["client_id"], "app");
    assert!(user["scopes"].to_string().contains("mcp:read"), "{user}");

    let robot = whoami(&server, &provider.client_token(&server.url, "mcp:read").await).await;
    assert_eq!((&robot["subject"], &robot["kind"]), (&json!("robot"), &json!("client")), "{robot}");
    assert_eq!(provider.count("GET /jwks").await, 1, "keys are fetched once");
}

#[tokio::test]
async fn rs_08_a_real_token_for_another_resource_is_refused() {
    let provider = Provider::start(Format::Jwt).await;
    let server = McpServer::start(&provider.issuer, "").await;
    let challenge = format!(
        "Bearer error=\"invalid_token\", resource_metadata=\"{}\"",
        server.at("/.well-known/oauth-protected-resource/mcp")
    );

    let foreign = provider.login("alice", "http://127.0.0.1:2/mcp", "openid mcp:read").await;
    assert_eq!(refusal(&server, &foreign.access()).await, (StatusCode::UNAUTHORIZED, challenge.clone()));
    assert_eq!(refusal(&server, &foreign.id()).await, (StatusCode::UNAUTHORIZED, challenge.clone()), "an ID token");

    // One of the resource, shortened by a character, is refused.
    let mut token = provider.login("alice", &server.url, "mcp:read").await.access();
    token.pop();
    assert_eq!(refusal(&server, &token).await, (StatusCode::UNAUTHORIZED, challenge));
}

#[tokio::test]
async fn rs_01_without_a_token_the_challenge_leads_to_the_metadata_and_that_to_the_provider() {
    let provider = Provider::start(Format::Jwt).await;
    let server = McpServer::start(&provider.issuer, "").await;
    let answer = call(&server.url, "whoami", &json!({})).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    let location = server.at("/.well-known/oauth-protected-resource/mcp");
    let challenge = format!("Bearer resource_metadata=\"{location}\"");
    assert_eq!(answer.headers()[header::WWW_AUTHENTICATE], challenge);

    for url in [location, server.at("/.well-known/oauth-protected-resource")] {
        let answer = reqwest::get(&url).await.expect("an answer");
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/json");
        let metadata: Value = answer.json().await.expect("JSON");
        assert_eq!(metadata["resource"], server.url);
        assert_eq!(metadata["authorization_servers"], json!([provider.issuer]));
    }
    let discovery = format!("{}/.well-known/openid-configuration", provider.issuer);
    let discovered: Value = reqwest::get(discovery).await.expect("an answer").json().await.expect("JSON");
    assert_eq!(discovered["issuer"], provider.issuer);
}

#[tokio::test]
async fn rs_45_a_token_in_the_query_is_no_token() {
    let provider = Provider::start(Format::Jwt).await;
    let server = McpServer::start(&provider.issuer, "").await;
    let token = provider.login("alice", &server.url, "mcp:read").await.access();
    let url = format!("{}?access_token={token}", server.url);
    let answer = call(&url, "whoami", &json!({})).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn rs_18_a_tool_beyond_the_scopes_is_refused_with_the_scope_it_needs() {
    let provider = Provider::start(Format::Jwt).await;
    let server = McpServer::start(&provider.issuer, "").await;
    let echo = |token: String| call(&server.url, "admin_echo", &json!({"message": "hello"})).bearer_auth(token).send();

    let reader = provider.login("alice", &server.url, "mcp:read").await.access();
    let answer = echo(reader).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    let metadata = server.at("/.well-known/oauth-protected-resource/mcp");
    let challenge =
        format!("Bearer error=\"insufficient_scope\", scope=\"mcp:admin\", resource_metadata=\"{metadata}\"");
    assert_eq!(answer.headers()[header::WWW_AUTHENTICATE], challenge);

    let admin = provider.login("alice", &server.url, "mcp:read mcp:admin").await.access();
    assert_eq!(tool_text(echo(admin).await.expect("an answer")).await, "hello");
}

#[tokio::test]
async fn rs_15_the_upstream_tool_never_passes_the_callers_token_on() {
    let provider = Provider::start(Format::Jwt).await;
    let server = McpServer::start(&provider.issuer, "").await;
    let token = provider.login("alice", &server.url, "openid mcp:read").await.access();
    let answer = call(&server.url, "upstream", &json!({})).bearer_auth(token).send().await.expect("an answer");
    assert_eq!(message(answer).await["result"]["isError"], true);
    assert_eq!(provider.count("GET /me").await + provider.count("GET /profile").await, 0);
}

#[tokio::test]
async fn rs_44_the_name_of_the_scheme_may_be_written_in_any_case() {
    let provider = Provider::start(Format::Jwt).await;
    let server = McpServer::start(&provider.issuer, "").await;
    let token = provider.login("alice", &server.url, "mcp:read").await.access();
    let status = |header: String| {
        let request = call(&server.url, "whoami", &json!({})).header(header::AUTHORIZATION, header);
        async { request.send().await.expect("an answer").status() }
    };
    assert_eq!(status(format!("bearer {token}")).await, StatusCode::OK);
    assert_eq!(status(format!("BEARER {token}")).await, StatusCode::OK);
    assert_eq!(status(format!("Bearer {token} {token}")).await, StatusCode::BAD_REQUEST);
    assert_eq!(status(format!("Basic {token}")).await, StatusCode::UNAUTHORIZED);
    let deleted = Client::new().delete(&server.url).send().await.expect("an answer");
    assert_eq!(deleted.status(), StatusCode::UNAUTHORIZED, "every method needs a token");
}
