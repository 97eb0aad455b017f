//! Claims of the profile, beyond those of the token.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::{Format, GATE_SECRET, McpServer, Provider, call, tool_text};

const USER_INFO: &str = "GET /profile";

/// The entry of an issuer, by `verify`, with UserInfo. The provider's own endpoint refuses tokens that have an audience.
async fn serve(provider: &Provider, verify: &str) -> McpServer {
    let settings = format!(
        "verify = {verify}\nclient_id = \"gate\"\nclient_secret = \"{GATE_SECRET}\"\nuserinfo_endpoint = \"{}/profile\"",
        provider.issuer
    );
    McpServer::start(&provider.issuer, &settings).await
}

async fn whoami(server: &McpServer, token: &str) -> Value {
    let answer = call(&server.url, "whoami", &json!({})).bearer_auth(token).send().await.expect("an answer");
    serde_json::from_str(&tool_text(answer).await).expect("a user")
}

#[tokio::test]
async fn a_profile_is_added_once_per_token() {
    let provider = Provider::start(Format::Opaque).await;
    let server = serve(&provider, "\"introspection\"\nenrich = true").await;
    let token = provider.login("alice", &server.url, "mcp:read").await.access();
    for _ in 0..3 {
        let user = whoami(&server, &token).await;
        assert_eq!(user["profile"]["email"], "alice@example.test", "{user}");
        assert!(user["scopes"].to_string().contains("mcp:read"), "{user}");
    }
    assert_eq!(provider.count(USER_INFO).await, 1);
    let bob = provider.login("bob", &server.url, "mcp:read").await.access();
    assert_eq!(whoami(&server, &bob).await["profile"]["name"], "bob of the tests");
    assert_eq!(provider.count(USER_INFO).await, 2);
}

#[tokio::test]
async fn rs_10_user_info_says_who_and_introspection_for_whom() {
    let provider = Provider::start(Format::Opaque).await;
    let server = serve(&provider, "\"userinfo\"").await;
    let token = provider.login("alice", &server.url, "mcp:read").await.access();
    let user = whoami(&server, &token).await;
    assert_eq!((&user["subject"], &user["profile"]["name"]), (&json!("alice"), &json!("alice of the tests")), "{user}");

    let foreign = provider.login("alice", "http://127.0.0.1:2/mcp", "mcp:read").await.access();
    let answer = call(&server.url, "whoami", &json!({})).bearer_auth(foreign).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(provider.count(USER_INFO).await, 1, "a token for another resource is refused without a UserInfo call");
}
