//! Every line of the table in `docs/troubleshooting.md` is provoked, and read from the log of the program at its default level.

use portcullis_test_support::{Browser, Network, OAuthClient};
use std::time::Duration;

use portcullis_testkit::{Endpoint, Fault, IdentityProvider, LoginPolicy};
use reqwest::header;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::{
    bridge::{call, log_in, oidc, registered},
    process::{Running, bridge, free_port},
};

const PAGE: &str = include_str!("../../../../docs/troubleshooting.md");

/// Returns the texts of each line of the log that the table names: all of them are in one line of the log.
fn lines_of_the_page() -> Vec<Vec<&'static str>> {
    let rows = PAGE.lines().filter(|line| line.starts_with("| ")).skip(1);
    let cells = rows.map(|row| row.split(" | ").nth(1).expect("a line of the log"));
    cells.map(|cell| cell.split('`').skip(1).step_by(2).collect()).collect()
}

/// Attempts a login that fails.
async fn fail_login(client: &OAuthClient) {
    let mut browser = Browser::new(Network::new()).with_stop_at(client.redirect_uri());
    assert!(client.log_in(&mut browser, "alice").await.is_err(), "a login without a code");
}

/// Provokes what a bridge logs.
async fn bridge_log(provider: &IdentityProvider, issuer: &str) -> [Running; 4] {
    let waiting = Running::serve(free_port(), &bridge(&oidc(&format!("{issuer}/nowhere")), "url = \"memory:\""));
    let metadata = json!({
        "issuer": issuer,
        "authorization_endpoint": provider.endpoint_url(Endpoint::Authorization),
        "token_endpoint": provider.endpoint_url(Endpoint::Token),
        "userinfo_endpoint": provider.endpoint_url(Endpoint::UserInfo),
        "jwks_uri": provider.endpoint_url(Endpoint::KeySet),
        "response_types_supported": ["code"],
    });
    for place in [Endpoint::OpenIdConfiguration, Endpoint::AuthorizationServerMetadata] {
        provider.set_fault(place, Fault::body("application/json", metadata.to_string()));
    }
    let server = Running::bridge(&oidc(issuer)).await;
    let client = registered(&server).await;
    let tokens = log_in(&client, "alice").await;
    assert_eq!(client.revoke(tokens.refresh_token()).await.expect("answer").status(), 200);
    assert_eq!(client.refresh(tokens.refresh_token()).await.expect("answer").status(), 400);
    provider.set_login_policy(LoginPolicy::new().with_denial("access_denied"));
    fail_login(&client).await;
    provider.set_login_policy(LoginPolicy::new());
    for fault in [Fault::body("text/html", "<h1>Maintenance</h1>"), Fault::status(401)] {
        provider.set_fault(Endpoint::Token, fault);
        fail_login(&client).await;
        provider.heal(Endpoint::Token);
    }
    let endpoints = "\n[bridge.endpoints]\nuserinfo = \"https://10.255.255.1/userinfo\"";
    let blocked = Running::bridge(&format!("{}{endpoints}", oidc(issuer))).await;
    fail_login(&registered(&blocked).await).await;

    // Only bob may have a scope.
    let entitlements = ["mcp:use", "mcp:admin"]
        .map(|scope| format!("\n[[bridge.entitlements]]\nscope = \"{scope}\"\nsubjects = [\"bob\"]"))
        .concat();
    let restricted = Running::bridge(&format!("{}{entitlements}", oidc(issuer))).await;
    let client = registered(&restricted).await;
    fail_login(&client).await;
    // Of another process, because a process pauses requests to an endpoint that failed.
    provider.set_fault(Endpoint::Token, Fault::status(503));
    fail_login(&client).await;
    [waiting, server, blocked, restricted]
}

/// Provokes what a resource server logs.
async fn resource_server_log(provider: &IdentityProvider, issuer: &str) -> [Running; 2] {
    let server = Running::start(issuer, "").await;
    let token = provider.token("alice").with_audience(&server.url()).jwt();
    let wrong = provider.token("alice").with_audience("https://other.example/mcp").jwt();
    assert_eq!(call(&server, "whoami", &wrong).await.status(), 401);
    let request =
        |name: &'static str, value: &'static str| server.post(&json!({})).header(name, value).bearer_auth(&token);
    for (name, value, status) in [
        (header::HOST.as_str(), "service:8000", 403),
        (header::ORIGIN.as_str(), "https://evil.example", 403),
        ("mcp-session-id", "unknown", 404),
    ] {
        assert_eq!(request(name, value).send().await.expect("answer").status(), status, "{name}");
    }
    request("x-forwarded-for", "192.0.2.1").send().await.expect("answer");

    let keys =
        "verify = \"introspection\"\nclient_id = \"resource-server\"\nclient_secret = \"resource-server-secret\"";
    let unavailable = Running::start(issuer, keys).await;
    provider.set_fault(Endpoint::Introspection, Fault::status(500));
    let token = provider.token("alice").with_audience(&unavailable.url()).opaque();
    assert_eq!(call(&unavailable, "whoami", &token).await.status(), 503);
    [server, unavailable]
}

#[tokio::test]
async fn every_line_of_the_table_is_in_the_log_at_the_default_level() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let resource_servers = resource_server_log(&provider, running.url()).await;
    let bridges = bridge_log(&provider, running.url()).await;
    let servers: Vec<&Running> = resource_servers.iter().chain(&bridges).collect();
    let lines = lines_of_the_page();
    assert!(lines.len() >= 15, "the table is read: {lines:?}");
    let missing = || {
        let is_missing = |parts: &&Vec<&str>| servers.iter().all(|server| server.lines_with(parts).is_empty());
        lines.iter().filter(is_missing).collect::<Vec<_>>()
    };
    // A thread for each process reads its log.
    let give_up = Instant::now() + Duration::from_secs(10);
    while !missing().is_empty() && Instant::now() < give_up {
        sleep(Duration::from_millis(20)).await;
    }
    let missing = missing();
    assert!(missing.is_empty(), "lines that the log does not have: {missing:#?}");
    for line in servers.iter().flat_map(|server| server.lines_with(&[])) {
        assert!(!line.contains(IdentityProvider::CLIENT_SECRET), "{line}");
    }
}
