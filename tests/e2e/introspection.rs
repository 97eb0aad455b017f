//! Two real authorization servers issue opaque tokens, and the example asks them about these tokens.

use std::time::Duration;

use reqwest::{StatusCode, header};
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::harness::{DjangoOauthToolkit, Format, GATE_SECRET, McpServer, Provider, REDIRECT_URI, call, tool_text};

const INTROSPECTION: &str = "POST /token/introspection";

/// The entry of an issuer that is asked, with our name and `secret`.
fn settings(secret: &str) -> String {
    format!("verify = \"introspection\"\nclient_id = \"gate\"\nclient_secret = \"{secret}\"")
}

async fn status(server: &McpServer, token: &str) -> StatusCode {
    call(&server.url, "whoami", &json!({})).bearer_auth(token).send().await.expect("an answer").status()
}

#[tokio::test]
async fn rs_10_a_real_opaque_token_is_accepted_for_this_resource_only() {
    let provider = Provider::start(Format::Opaque).await;
    let server = McpServer::start(&provider.issuer, &settings(GATE_SECRET)).await;
    let token = provider.login("alice", &server.url, "openid mcp:read").await.access();
    assert!(!token.contains('.'), "opaque");
    let answer = call(&server.url, "whoami", &json!({})).bearer_auth(&token).send().await.expect("an answer");
    let user: Value = serde_json::from_str(&tool_text(answer).await).expect("a user");
    assert_eq!(
        (&user["subject"], &user["issuer"], &user["client_id"]),
        (&json!("alice"), &json!(provider.issuer), &json!("app"))
    );

    let foreign = provider.login("alice", "http://127.0.0.1:2/mcp", "mcp:read").await.access();
    assert_eq!(status(&server, &foreign).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(&server, "never-issued").await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_token_of_a_client_names_no_subject_and_is_accepted_by_choice_only() {
    let provider = Provider::start(Format::Opaque).await;
    let strict = McpServer::start(&provider.issuer, &settings(GATE_SECRET)).await;
    let robot = provider.client_token(&strict.url, "mcp:read").await;
    assert_eq!(status(&strict, &robot).await, StatusCode::UNAUTHORIZED);
    let lines = strict.process.kill().await;
    let line = lines.iter().find(|line| line.contains("no_subject")).unwrap_or_else(|| panic!("{lines:#?}"));
    for part in ["WARN", &provider.issuer, "`sub` is absent", "client_id", "`allow_client_without_subject`"] {
        assert!(line.contains(part), "{part} in {line}");
    }

    let choice = format!("{}\nallow_client_without_subject = true", settings(GATE_SECRET));
    let server = McpServer::start(&provider.issuer, &choice).await;
    let robot = provider.client_token(&server.url, "mcp:read").await;
    let answer = call(&server.url, "whoami", &json!({})).bearer_auth(&robot).send().await.expect("an answer");
    let user: Value = serde_json::from_str(&tool_text(answer).await).expect("a user");
    assert_eq!((&user["subject"], &user["kind"]), (&json!("robot"), &json!("client")));
}

#[tokio::test]
async fn rs_12_a_revoked_token_is_refused_when_it_is_no_longer_remembered() {
    let provider = Provider::start(Format::Opaque).await;
    let server = McpServer::start_with(&provider.issuer, &settings(GATE_SECRET), "[cache]\nttl = \"2s\"", "").await;
    let token = provider.login("alice", &server.url, "mcp:read").await.access();
    assert_eq!(status(&server, &token).await, StatusCode::OK);
    provider.revoke(&token).await;
    let revoked = Instant::now();
    while status(&server, &token).await == StatusCode::OK {
        assert!(revoked.elapsed() < Duration::from_secs(10), "the token still works");
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(status(&server, &token).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn our_own_wrong_secret_is_an_outage_and_an_error_in_the_log_never_the_users_fault() {
    let provider = Provider::start(Format::Opaque).await;
    let server = McpServer::start_with(&provider.issuer, &settings("wrong"), "", "").await;
    let token = provider.login("alice", &server.url, "mcp:read").await.access();
    let answer = call(&server.url, "whoami", &json!({})).bearer_auth(&token).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key(header::RETRY_AFTER));
    assert!(!answer.headers().contains_key(header::WWW_AUTHENTICATE), "no login is demanded");
    let lines = server.process.kill().await;
    assert!(lines.iter().any(|line| line.contains("ERROR") && line.contains("refuses this server")), "{lines:#?}");
}

#[tokio::test]
async fn two_hundred_requests_with_one_cold_token_are_one_introspection() {
    let provider = Provider::start(Format::Opaque).await;
    let server = McpServer::start(&provider.issuer, &settings(GATE_SECRET)).await;
    let token = provider.login("alice", &server.url, "mcp:read").await.access();
    let mut requests = JoinSet::new();
    for _ in 0..200 {
        requests.spawn(call(&server.url, "whoami", &json!({})).bearer_auth(&token).send());
    }
    for answer in requests.join_all().await {
        assert_eq!(answer.expect("an answer").status(), StatusCode::OK);
    }
    assert_eq!(provider.count(INTROSPECTION).await, 1);
}

#[tokio::test]
async fn rs_10_tokens_of_django_oauth_toolkit_are_accepted_by_their_user_name_for_this_resource_only() {
    let provider = DjangoOauthToolkit::start(REDIRECT_URI, 300).await;
    let settings = format!("{}\nsubject_claim = \"username\"", settings(GATE_SECRET));
    let server = McpServer::start_with(&provider.issuer, &settings, "[cache]\nttl = \"2s\"", "").await;
    let token = provider.login("alice", &server.url, "mcp:read").await.access();
    let answer = call(&server.url, "whoami", &json!({})).bearer_auth(&token).send().await.expect("a response");
    let user: Value = serde_json::from_str(&tool_text(answer).await).expect("a user");
    assert_eq!((&user["subject"], &user["client_id"]), (&json!("alice"), &json!("app")));

    let foreign = provider.login("alice", "http://127.0.0.1:2/mcp", "mcp:read").await.access();
    assert_eq!(status(&server, &foreign).await, StatusCode::UNAUTHORIZED);

    provider.revoke("app", &token).await;
    let revoked = Instant::now();
    while status(&server, &token).await == StatusCode::OK {
        assert!(revoked.elapsed() < Duration::from_secs(10), "the token still works");
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(provider.count("GET /o/userinfo/"), 0);
}

#[tokio::test]
async fn rs_10_a_token_of_django_oauth_toolkit_without_a_resource_is_accepted_by_its_client_only() {
    let provider = DjangoOauthToolkit::start(REDIRECT_URI, 300).await;
    let token = provider.login("alice", "", "mcp:read").await.access();
    let settings = format!("{}\nsubject_claim = \"username\"", settings(GATE_SECRET));
    for (allowed, expected) in [
        ("", StatusCode::UNAUTHORIZED),
        ("allowed_clients = [\"another\"]", StatusCode::UNAUTHORIZED),
        ("allowed_clients = [\"app\"]", StatusCode::OK),
    ] {
        let server = McpServer::start(&provider.issuer, &format!("{settings}\n{allowed}")).await;
        assert_eq!(status(&server, &token).await, expected, "{allowed}");
        let lines = server.process.kill().await;
        let names_key = lines.iter().any(|line| line.contains("request rejected") && line.contains("allowed_clients"));
        assert_eq!(names_key, expected != StatusCode::OK, "{allowed}: {lines:#?}");
    }
}

#[tokio::test]
async fn rs_10_a_token_of_django_oauth_toolkit_names_no_subject_and_the_log_names_the_key() {
    let provider = DjangoOauthToolkit::start(REDIRECT_URI, 300).await;
    let server = McpServer::start(&provider.issuer, &settings(GATE_SECRET)).await;
    let token = provider.login("alice", &server.url, "mcp:read").await.access();
    assert_eq!(status(&server, &token).await, StatusCode::UNAUTHORIZED);
    let lines = server.process.kill().await;
    let line = lines.iter().find(|line| line.contains("no_subject")).unwrap_or_else(|| panic!("{lines:#?}"));
    for part in [&*provider.issuer, "`sub` is absent", "username", "`subject_claim`"] {
        assert!(line.contains(part), "{part} in {line}");
    }
}
