//! The official MCP conformance suite finds no difference between the example behind the gate and its MCP service alone, and the example
//! of a client passes its scenarios of authorization.

use std::{collections::BTreeMap, fs, net::Ipv4Addr, path::Path, sync::Arc};

use axum::Router;
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
};
use serde_json::Value;
use tokio::net::TcpListener;

use crate::{
    harness::{Format, McpServer, Process, Provider, ReverseProxy, binary, free_port, script},
    tools::Tools,
};

/// Serves the tools of the example without any gate, and returns the URL.
pub(crate) async fn bare() -> String {
    let config = StreamableHttpServerConfig::default().with_json_response(true);
    let mcp = StreamableHttpService::new(|| Ok(Tools::default()), Arc::new(LocalSessionManager::default()), config);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let url = format!("http://{}/mcp", listener.local_addr().expect("bound"));
    tokio::spawn(async { axum::serve(listener, Router::new().route_service("/mcp", mcp)).await });
    url
}

/// From scenario and check to how it went.
pub(crate) type Results = BTreeMap<String, String>;

/// Runs what `revision` requires of servers against `url`.
pub(crate) async fn suite(url: &str, revision: &str, name: &str) -> Results {
    let results = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("conformance-{revision}-{name}"));
    if results.exists() {
        fs::remove_dir_all(&results).expect("a folder");
    }
    let mut command = script("node_modules/@modelcontextprotocol/conformance/dist/index.js");
    command.args(["server", "--url", url, "--requirements", revision, "--timeout", "10000", "-o"]).arg(&results);
    // It is bad for the suite that the example has none of the tools that scenarios ask for; we compare.
    drop(Process::start(&mut command).ended().await);
    let mut found = Results::new();
    for folder in fs::read_dir(&results).expect("results") {
        let folder = folder.expect("an entry").path();
        let scenario = scenario(&folder);
        let checks: Vec<Value> =
            serde_json::from_str(&fs::read_to_string(folder.join("checks.json")).expect("checks")).expect("JSON");
        for (index, check) in checks.iter().enumerate() {
            let text = |member: &str| check[member].as_str().unwrap_or_default();
            found.insert(format!("{scenario} {index} {}", text("id")), text("status").to_owned());
        }
    }
    found
}

/// The name of a folder without the time at its end.
fn scenario(folder: &Path) -> String {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    name.split_once("-20").map_or_else(|| name.to_string(), |(scenario, _)| scenario.to_owned())
}

/// The URL of `server` with a token put into every request.
pub(crate) async fn with_token(port: u16, token: &str) -> (Process, String) {
    let mut command = script("inject-proxy.mjs");
    let proxy = Process::start(command.arg(port.to_string()).env("TOKEN", token));
    let url = format!("{}/mcp", proxy.line("READY ").await);
    (proxy, url)
}

pub(crate) fn successes(results: &Results) -> usize {
    results.values().filter(|status| *status == "SUCCESS").count()
}

async fn same_with_and_without(revision: &str) {
    let provider = Provider::start(Format::Jwt).await;
    let server = McpServer::start(&provider.issuer, "").await;
    let token = provider.login("alice", &server.url, "mcp:read mcp:admin").await.access();
    let (_proxy, behind) = with_token(server.port, &token).await;

    let without = suite(&bare().await, revision, "without").await;
    let with = suite(&behind, revision, "with").await;
    println!("{revision}: {} checks, {} succeed", without.len(), successes(&without));
    assert!(successes(&without) > 40, "{without:#?}");
    assert_eq!(with, without);
}

#[tokio::test]
async fn the_suite_of_2025_finds_no_difference_behind_the_gate() {
    same_with_and_without("2025-11-25").await;
}

#[tokio::test]
async fn the_suite_of_2026_finds_no_difference_behind_the_gate() {
    same_with_and_without("2026-07-28").await;
}

#[tokio::test]
async fn a_server_that_passes_everything_does_so_behind_the_gate() {
    let provider = Provider::start(Format::Jwt).await;
    let port = free_port();
    let mut command = script("reference-server.mjs");
    let server = Process::start(command.env("PORT", port.to_string()));
    server.line("READY").await;
    let gate = ReverseProxy::start(&format!("http://127.0.0.1:{port}"), &provider.issuer).await;
    let token = provider.login("alice", &gate.url, "mcp:read").await.access();
    let (_proxy, behind) = with_token(gate.port, &token).await;

    let without = suite(&format!("http://127.0.0.1:{port}/mcp"), "2025-11-25", "reference").await;
    let with = suite(&behind, "2025-11-25", "reference-behind").await;
    assert_eq!(successes(&without), 84, "{without:#?}");
    assert_eq!(with, without);
}

/// The scenarios of clients that every revision has: of the specification, and of its extensions.
const CLIENT_SCENARIOS: [&str; 20] = [
    "metadata-default",
    "metadata-var1",
    "metadata-var2",
    "metadata-var3",
    "basic-cimd",
    "scope-from-www-authenticate",
    "scope-from-scopes-supported",
    "scope-omitted-when-undefined",
    "scope-step-up",
    "scope-retry-limit",
    "token-endpoint-auth-basic",
    "token-endpoint-auth-post",
    "token-endpoint-auth-none",
    "pre-registration",
    "client-credentials-jwt",
    "client-credentials-basic",
    "enterprise-managed-authorization",
    "dpop",
    "dpop-nonce",
    "wif-jwt-bearer",
];

/// Those that the revision 2026-07-28 has in addition.
const MODERN_CLIENT_SCENARIOS: [&str; 11] = [
    "resource-mismatch",
    "offline-access-scope",
    "offline-access-not-supported",
    "authorization-server-migration",
    "iss-supported",
    "iss-not-advertised",
    "iss-supported-missing",
    "iss-wrong-issuer",
    "iss-unexpected",
    "iss-normalized",
    "metadata-issuer-mismatch",
];

/// Runs the `scenarios` of the authorization of clients against `mcp-client`, and returns those that it does not pass.
async fn client_failures(revision: &str, scenarios: &[&str]) -> Vec<String> {
    let client = format!("{} conformance", binary("mcp-client").as_std().get_program().to_string_lossy());
    let mut failures = Vec::new();
    for scenario in scenarios {
        let mut command = script("node_modules/@modelcontextprotocol/conformance/dist/index.js");
        let scenario = format!("auth/{scenario}");
        command.args(["client", "--command", &client, "--scenario", &scenario, "--spec-version", revision, "--force"]);
        let (_, lines) = Process::start(&mut command).ended().await;
        // A scenario that is skipped ends well, too.
        if !lines.iter().any(|line| line.contains("OVERALL: PASSED")) {
            failures.push(format!("{scenario}: {lines:#?}"));
        }
    }
    failures
}

#[tokio::test]
async fn the_client_logs_in_at_servers_of_2025_03() {
    let scenarios = ["2025-03-26-oauth-metadata-backcompat", "2025-03-26-oauth-endpoint-fallback"];
    let failures = client_failures("2025-03-26", &scenarios).await;
    assert!(failures.is_empty(), "{failures:#?}");
}

#[tokio::test]
async fn the_client_passes_all_scenarios_of_authorization_of_2025() {
    let failures = client_failures("2025-11-25", &CLIENT_SCENARIOS).await;
    assert!(failures.is_empty(), "{failures:#?}");
}

#[tokio::test]
async fn the_client_passes_all_scenarios_of_authorization_of_2026() {
    let scenarios = [&CLIENT_SCENARIOS[..], &MODERN_CLIENT_SCENARIOS].concat();
    let failures = client_failures("2026-07-28", &scenarios).await;
    assert!(failures.is_empty(), "{failures:#?}");
}
