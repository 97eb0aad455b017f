//! Clients of other projects log in headless: the Python SDK and FastMCP in two versions each, mcp-remote, the Inspector's command line.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::Command;

use super::{
    clients::{assert_stepped_up, life},
    real_clients::assert_in_table,
    server::{APPLICATION, Place, Site},
};
use crate::harness::{Provider, python_script, script};

const SHORT: Duration = Duration::from_secs(2);

/// For clients that fail or log in once more if a token expires in the middle of an operation.
const LONGER: Duration = Duration::from_secs(10);

/// Runs a client, whose access tokens live `ttl`, with Alice in front of it and returns what it reported.
async fn live(ttl: Duration, command: impl FnOnce(&Site) -> Command) -> Value {
    let place = Place::new();
    let provider = Provider::start_with_pages(&place.callback(), 300).await;
    let site = place.open_with(&provider.issuer, APPLICATION, |config| config.with_access_token_ttl(ttl)).await;
    life(&mut command(&site), &site.issuer, "alice").await
}

async fn python(name: &str, wire: &str) {
    let (client, environment) = match name {
        "Python SDK 1" => ("sdk", "mcp-1"),
        "Python SDK 2" => ("sdk", "mcp-2"),
        "FastMCP 3" => ("fastmcp", "mcp-1"),
        "FastMCP 4" => ("fastmcp", "mcp-2"),
        _ => panic!("{name} is unknown"),
    };
    let said = live(SHORT, |site| {
        let mut command = python_script(environment, "client.py");
        command.args([client, &site.url, wire]);
        command
    })
    .await;
    assert_eq!(said["version"], wire);
    assert_stepped_up(&said);
    assert_in_table(name, wire, client_id(&said), true);
}

fn client_id(said: &Value) -> &str {
    said["client"].as_str().expect("a client ID")
}

#[tokio::test]
async fn the_python_sdk_1_registers_logs_in_refreshes_steps_up_and_logs_in_again() {
    python("Python SDK 1", "2025-11-25").await;
}

#[tokio::test]
async fn the_python_sdk_2_registers_logs_in_refreshes_steps_up_and_logs_in_again_on_the_wire_of_2025() {
    python("Python SDK 2", "2025-11-25").await;
}

#[tokio::test]
async fn the_python_sdk_2_registers_logs_in_refreshes_steps_up_and_logs_in_again_on_the_wire_of_2026() {
    python("Python SDK 2", "2026-07-28").await;
}

#[tokio::test]
async fn fastmcp_3_registers_logs_in_refreshes_steps_up_and_logs_in_again() {
    python("FastMCP 3", "2025-11-25").await;
}

#[tokio::test]
async fn fastmcp_4_registers_logs_in_refreshes_steps_up_and_logs_in_again() {
    python("FastMCP 4", "2026-07-28").await;
}

/// Runs a client that is configured to request all scopes at its first login.
async fn with_all_scopes(name: &str, file: &str, era: Option<&str>, wire: &str) {
    let said = live(LONGER, |site| {
        let mut command = script(file);
        command.arg(&site.url).args(era).arg("mcp:read mcp:admin");
        command
    })
    .await;
    // The first login, and that after the revocation.
    assert_eq!((&said["scope"], &said["seen"]["logins"]), (&json!("mcp:read mcp:admin"), &json!(2)));
    assert_in_table(name, wire, client_id(&said), false);
}

#[tokio::test]
async fn mcp_remote_registers_logs_in_with_all_scopes_refreshes_and_logs_in_again() {
    with_all_scopes("mcp-remote", "login-mcp-remote.mjs", None, "2025-11-25").await;
}

#[tokio::test]
async fn the_inspector_registers_logs_in_with_all_scopes_refreshes_and_logs_in_again_on_the_wire_of_2025() {
    with_all_scopes("MCP Inspector, command line", "login-inspector.mjs", Some("legacy"), "2025-11-25").await;
}

#[tokio::test]
async fn the_inspector_registers_logs_in_with_all_scopes_refreshes_and_logs_in_again_on_the_wire_of_2026() {
    with_all_scopes("MCP Inspector, command line", "login-inspector.mjs", Some("modern"), "2026-07-28").await;
}
