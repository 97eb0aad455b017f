//! The tools behind the authentication layer: accepted and rejected requests, and the user context of a tool.

use portcullis_testkit::{Endpoint, Fault, IdentityProvider, KeyAlgorithm};
use reqwest::{Response, StatusCode, header};
use serde_json::{Value, json};

use crate::process::{Running, closed_file, text};

const INTROSPECTION: &str =
    "verify = \"introspection\"\nclient_id = \"resource-server\"\nclient_secret = \"resource-server-secret\"";

fn challenge(response: &Response) -> &str {
    response.headers()[header::WWW_AUTHENTICATE].to_str().expect("ASCII")
}

async fn json_of(response: Response) -> Value {
    assert_eq!(response.status(), StatusCode::OK);
    response.json().await.expect("JSON")
}

#[tokio::test]
async fn whoami_returns_the_user_of_the_request() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let server = Running::start(running.url(), "").await;
    for subject in ["alice", "bob", "alice"] {
        let token = provider.token(subject).with_audience(&server.url()).with_scope("mcp:read").jwt();
        let answer = json_of(server.call("whoami", &json!({})).bearer_auth(&token).send().await.expect("answer")).await;
        let user: Value = serde_json::from_str(text(&answer)).expect("JSON");
        assert_eq!(user["subject"], subject);
        assert_eq!(user["issuer"], running.url());
        assert_eq!(user["scopes"], json!(["mcp:read"]));
        assert!(!text(&answer).contains(&token));
    }
}

#[tokio::test]
async fn echo_returns_the_message_and_upstream_reports_that_there_is_no_upstream_token() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let server = Running::start(running.url(), "").await;
    let token = provider.token("alice").with_audience(&server.url()).jwt();

    let echo = server.call("echo", &json!({"message": "hello"})).bearer_auth(&token).send().await.expect("answer");
    assert_eq!(text(&json_of(echo).await), "hello");

    let upstream = server.call("upstream", &json!({})).bearer_auth(&token).send().await.expect("answer");
    let answer = json_of(upstream).await;
    assert_eq!(answer["result"]["isError"], true);
    assert!(text(&answer).contains("no upstream token in resource-server mode"), "{answer}");
    assert_eq!(provider.calls(Endpoint::UserInfo), 0, "the caller's token is never passed on");
}

#[tokio::test]
async fn a_tool_call_without_its_scope_is_rejected_with_a_challenge_that_names_the_scope() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let server = Running::start(running.url(), "").await;
    let call = |scope: &str| {
        let token = provider.token("alice").with_audience(&server.url()).with_scope(scope).jwt();
        server.call("admin_echo", &json!({"message": "hello"})).bearer_auth(token).send()
    };
    let refused = call("mcp:read").await.expect("answer");
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    assert!(challenge(&refused).contains("error=\"insufficient_scope\""), "{refused:?}");
    assert!(challenge(&refused).contains("scope=\"mcp:admin\""), "{refused:?}");
    assert_eq!(text(&json_of(call("mcp:read mcp:admin").await.expect("answer")).await), "hello");
}

#[tokio::test]
async fn required_scopes_are_required_of_every_request() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let server = Running::spawn(running.url(), "", "required_scopes = [\"mcp:use\"]");
    server.wait_for("/readyz", 200).await;
    let call = |scope: &str| {
        let token = provider.token("alice").with_audience(&server.url()).with_scope(scope).jwt();
        server.call("whoami", &json!({})).bearer_auth(token).send()
    };
    let refused = call("mcp:read").await.expect("answer");
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    assert!(challenge(&refused).contains("scope=\"mcp:use\""), "{refused:?}");
    assert_eq!(call("mcp:use").await.expect("answer").status(), StatusCode::OK);
}

#[tokio::test]
async fn a_token_for_another_resource_is_rejected() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let server = Running::start(running.url(), "").await;
    let call = |audience: &str| {
        let token = provider.token("alice").with_audience(audience).jwt();
        server.call("whoami", &json!({})).bearer_auth(token).send()
    };
    let refused = call("https://other.example.com/mcp").await.expect("answer");
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert!(challenge(&refused).contains("error=\"invalid_token\""), "{refused:?}");
    assert_eq!(call(&server.url()).await.expect("answer").status(), StatusCode::OK);
}

#[tokio::test]
async fn opaque_tokens_are_introspected_and_a_profile_can_be_added() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let secret = closed_file("introspection-secret", IdentityProvider::CLIENT_SECRET);
    let settings = format!(
        "verify = \"introspection\"\nclient_id = \"{}\"\nclient_secret_file = \"{}\"\nenrich = true",
        IdentityProvider::CLIENT_ID,
        secret.display()
    );
    let server = Running::start(running.url(), &settings).await;
    let token = provider.token("alice").with_audience(&server.url()).opaque();
    for _ in 0..3 {
        let answer = json_of(server.call("whoami", &json!({})).bearer_auth(&token).send().await.expect("answer")).await;
        let user: Value = serde_json::from_str(text(&answer)).expect("JSON");
        assert_eq!((&user["subject"], &user["profile"]["email"]), (&json!("alice"), &json!("alice@example.test")));
    }
    assert_eq!((provider.calls(Endpoint::Introspection), provider.calls(Endpoint::UserInfo)), (1, 1));
}

#[tokio::test]
async fn tokens_without_sub_are_rejected_unless_another_claim_is_configured_as_the_subject() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let strict = Running::start(running.url(), INTROSPECTION).await;
    let server = Running::start(running.url(), &format!("{INTROSPECTION}\nsubject_claim = \"username\"")).await;
    let token = |server: &Running, name: &str| {
        let token = provider.token("alice").without_claim("sub").with_audience(&server.url());
        token.with_claim("client_id", "app").with_claim("username", name).opaque()
    };
    let initialize = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}});
    let open = |server: &Running, name: &str| server.post(&initialize).bearer_auth(token(server, name)).send();
    let refused = open(&strict, "alice").await.expect("answer");
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    let opened = open(&server, "alice").await.expect("answer");
    assert_eq!(opened.status(), StatusCode::OK);
    let session = opened.headers()["mcp-session-id"].clone();
    let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    for (name, status) in [("bob", StatusCode::NOT_FOUND), ("alice", StatusCode::ACCEPTED)] {
        let request = server.post(&initialized).bearer_auth(token(&server, name)).header("mcp-session-id", &session);
        assert_eq!(request.send().await.expect("answer").status(), status, "{name}");
    }
    let metrics = strict.admin("/metrics").await.expect("answer").text().await.expect("text");
    assert!(metrics.contains("outcome=\"no_subject\"} 1"), "{metrics}");
}

#[tokio::test]
async fn an_unavailable_provider_is_503_without_a_challenge() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let server = Running::start(running.url(), INTROSPECTION).await;
    provider.set_fault(Endpoint::Introspection, Fault::status(500));
    let token = provider.token("alice").with_audience(&server.url()).opaque();
    let refused = server.call("whoami", &json!({})).bearer_auth(token).send().await.expect("answer");
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key(header::RETRY_AFTER), "{refused:?}");
    assert!(!refused.headers().contains_key(header::WWW_AUTHENTICATE), "{refused:?}");
}

#[tokio::test]
async fn the_server_is_ready_when_it_has_the_keys() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    provider.set_fault(Endpoint::KeySet, Fault::status(500));
    let server = Running::spawn(running.url(), "", "");
    server.wait_for("/healthz", 200).await;
    let waiting = server.admin("/readyz").await.expect("answer");
    assert_eq!(waiting.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(waiting.text().await.expect("text").contains(running.url()));
    provider.heal(Endpoint::KeySet);
    server.wait_for("/readyz", 200).await;
    let metrics = server.admin("/metrics").await.expect("answer").text().await.expect("text");
    assert!(metrics.contains("portcullis_key_set_fetches_total{outcome=\"success\"} 1"), "{metrics}");
}

#[tokio::test]
async fn userinfo_authenticates_a_user_only_if_the_audience_is_checked() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let credentials = INTROSPECTION.replace("introspection\"", "userinfo\"");
    let by_introspection = Running::start(running.url(), &credentials).await;
    let github = format!(
        "{credentials}\nuserinfo_endpoint = \"{}\"\ncheck_token_endpoint = \"{}\"",
        provider.url("/user"),
        provider.url("/applications/resource-server/token")
    );
    let by_github = Running::start(running.url(), &github).await;

    let accepted = provider.token("alice").with_audience(&by_introspection.url()).opaque();
    let of_another_app = provider.token("alice").with_claim("client_id", "other-app").opaque();
    for (server, token, status) in [
        (&by_introspection, &accepted, StatusCode::OK),
        (&by_introspection, &of_another_app, StatusCode::UNAUTHORIZED),
        (&by_github, &provider.token("alice").with_claim("client_id", "resource-server").opaque(), StatusCode::OK),
        (&by_github, &of_another_app, StatusCode::UNAUTHORIZED),
    ] {
        let answer = server.call("whoami", &json!({})).bearer_auth(token).send().await.expect("answer");
        assert_eq!(answer.status(), status);
    }
    assert!(provider.calls(Endpoint::UserInfo) == 1 && provider.calls(Endpoint::GitHubUser) == 1);
}

#[tokio::test]
async fn an_issuer_can_have_its_own_algorithms_token_types_and_key_set_url() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let keys = format!("algorithms = [\"ES256\"]\ntoken_types = [\"JWT\"]\njwks_uri = \"{}\"", provider.url("/jwks"));
    let es256 = provider.add_key(KeyAlgorithm::Es256);
    let server = Running::start(running.url(), &keys).await;
    let strict = Running::start(running.url(), "").await;
    for (server, kid, typ, status) in [
        (&server, &*es256, "at+jwt", StatusCode::OK),
        (&server, &es256, "JWT", StatusCode::OK),
        (&server, &es256, "logout+jwt", StatusCode::UNAUTHORIZED),
        (&server, &provider.signing_kid(), "at+jwt", StatusCode::UNAUTHORIZED),
        (&strict, &provider.signing_kid(), "at+jwt", StatusCode::OK),
        (&strict, &es256, "JWT", StatusCode::UNAUTHORIZED),
    ] {
        let token = provider.token("alice").with_audience(&server.url()).signed_by(kid).with_header("typ", typ).jwt();
        let answer = server.call("whoami", &json!({})).bearer_auth(token).send().await.expect("answer");
        assert_eq!(answer.status(), status, "{kid} {typ}");
    }
}
