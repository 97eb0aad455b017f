//! The official MCP conformance suite finds no difference between the example behind the gate and its MCP service alone, and the example
//! of a client passes its scenarios of authorization.

use std::{collections::BTreeMap, fs, future::ready, net::Ipv4Addr, path::Path, sync::Arc};

use axum::Router;
use futures_util::{StreamExt as _, stream};
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
};
use serde_json::{Value, json};
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

/// The scenarios of the authorization of clients, as the suite lists them, with the revisions that each is of.
async fn client_scenarios() -> Vec<(String, Vec<&'static str>)> {
    let mut command = script("node_modules/@modelcontextprotocol/conformance/dist/index.js");
    let lines = Process::start(command.args(["list", "--client"])).finished().await;
    let scenario = |line: &String| {
        let (name, tags) = line.trim().strip_prefix("- auth/")?.split_once(' ')?;
        let revisions = ["2025-03-26", "2025-11-25", "2026-07-28"].into_iter();
        // Extensions are of no revision: a client of each of the current ones has them.
        let is_extension = tags.contains("extension");
        let is_in = |revision: &&str| tags.contains(revision) || is_extension && *revision != "2025-03-26";
        Some((format!("auth/{name}"), revisions.filter(is_in).collect()))
    };
    lines.iter().filter_map(scenario).collect()
}

/// Runs `scenario` against `mcp-client`, and returns what the suite said if it fails.
async fn client_failure(scenario: &str, revision: &str) -> Option<String> {
    let client = format!("{} conformance", binary("mcp-client").as_std().get_program().to_string_lossy());
    let mut command = script("node_modules/@modelcontextprotocol/conformance/dist/index.js");
    command.args(["client", "--command", &client, "--scenario", scenario, "--spec-version", revision, "--force"]);
    let (_, lines) = Process::start(&mut command).ended().await;
    // A scenario that is skipped ends well, too.
    let has_passed = lines.iter().any(|line| line.contains("OVERALL: PASSED"));
    (!has_passed).then(|| format!("{scenario} of {revision}: {lines:#?}"))
}

/// The benchmarks publish the numbers: a scenario passes if it does so in each revision that it is of.
#[tokio::test]
async fn the_client_passes_all_scenarios_of_authorization() {
    let scenarios = client_scenarios().await;
    let total = scenarios.len();
    assert!(total >= 33, "{scenarios:#?}");
    let runs = scenarios.iter().map(async |(scenario, revisions)| {
        assert!(!revisions.is_empty(), "{scenario} is of an unknown revision");
        let mut failures = Vec::new();
        for revision in revisions {
            failures.extend(client_failure(scenario, revision).await);
        }
        failures
    });
    let failures: Vec<_> =
        stream::iter(runs).buffer_unordered(4).filter(|failures| ready(!failures.is_empty())).collect().await;
    let numbers = json!({"conformance_client_passed": total - failures.len(), "conformance_client_total": total});
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench");
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("conformance-client.json"), format!("{numbers:#}\n")).expect("a file");
    assert!(failures.is_empty(), "{failures:#?}");
}
