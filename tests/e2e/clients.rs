//! Clients that are not ours get through the gate: the TypeScript SDK, both versions, and rmcp; on both wires.

use std::error::Error;

use rmcp::{
    ClientLifecycleMode, ClientServiceExt,
    model::{CallToolRequestParams, ClientConfig, ProtocolVersion},
    service::ServiceError,
    transport::{
        StreamableHttpClientTransport,
        streamable_http_client::{InsufficientScopeError, StreamableHttpClientTransportConfig},
    },
};
use serde_json::{Value, json};

use crate::harness::{Format, McpServer, Process, Provider, script};

/// It has read the challenge.
const STEP_UP: &str = r#"InsufficientScopeError: Insufficient scope: required "mcp:admin""#;

const TOOLS: [&str; 4] = ["admin_echo", "echo", "upstream", "whoami"];

/// Runs one of the scripts, and checks what it says of tools, user and echo; returns how `admin_echo` went.
async fn typescript(file: &str, server: &McpServer, wire: &str, token: &str) -> Value {
    let mut command = script(file);
    command.args([&*server.url, wire]).env("TOKEN", token);
    let lines = Process::start(&mut command).finished().await;
    let said = lines.iter().find_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut said = said.unwrap_or_else(|| panic!("{lines:#?}"));
    assert_eq!(said["version"], wire);
    let mut tools: Vec<_> = said["tools"].as_array().expect("tools").iter().filter_map(Value::as_str).collect();
    tools.sort_unstable();
    assert_eq!(tools, TOOLS);
    assert_eq!(said["user"]["subject"], "alice");
    assert_eq!(said["echo"], "hello");
    said["admin"].take()
}

/// `refusal` is how this client tells its user about a 403 with a challenge.
async fn typescript_story(file: &str, wire: &str, refusal: &str) {
    let provider = Provider::start(Format::Jwt).await;
    let server = McpServer::start(&provider.issuer, "").await;
    let reader = provider.login("alice", &server.url, "mcp:read").await.access();
    let admin = provider.login("alice", &server.url, "mcp:read mcp:admin").await.access();
    assert_eq!(typescript(file, &server, wire, &admin).await, "hello");
    let refused = typescript(file, &server, wire, &reader).await;
    assert!(refused["error"].as_str().is_some_and(|error| error.contains(refusal)), "{refused}");
}

#[tokio::test]
async fn tr_08_the_typescript_sdk_1_on_the_wire_of_2025() {
    typescript_story("ts-sdk-1.mjs", "2025-11-25", r#"{"error":"insufficient_scope""#).await;
}

#[tokio::test]
async fn tr_08_the_typescript_sdk_2_on_the_wire_of_2025() {
    typescript_story("ts-sdk-2.mjs", "2025-11-25", STEP_UP).await;
}

#[tokio::test]
async fn tr_08_the_typescript_sdk_2_on_the_wire_of_2026() {
    typescript_story("ts-sdk-2.mjs", "2026-07-28", STEP_UP).await;
}

#[tokio::test]
async fn tr_08_rmcp_on_the_wire_of_2025() {
    rmcp_story(&ClientLifecycleMode::Initialize, "2025-11-25").await;
}

#[tokio::test]
async fn tr_08_rmcp_on_the_wire_of_2026() {
    let mode = ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] };
    rmcp_story(&mode, "2026-07-28").await;
}

async fn rmcp_story(lifecycle: &ClientLifecycleMode, wire: &str) {
    let provider = Provider::start(Format::Jwt).await;
    let server = McpServer::start(&provider.issuer, "").await;
    let reader = provider.login("alice", &server.url, "mcp:read").await.access();
    let admin = provider.login("alice", &server.url, "mcp:read mcp:admin").await.access();

    let connect = async |token: &str| {
        let config = StreamableHttpClientTransportConfig::with_uri(&*server.url).auth_header(token);
        let transport = StreamableHttpClientTransport::from_config(config);
        ClientConfig::default().serve_with_lifecycle(transport, lifecycle.clone()).await.expect("a connection")
    };
    let client = connect(&reader).await;
    assert_eq!(client.peer_info().expect("a server").protocol_version.as_str(), wire);
    let mut tools: Vec<_> = client.list_all_tools().await.expect("tools").into_iter().map(|tool| tool.name).collect();
    tools.sort_unstable();
    assert_eq!(tools, TOOLS);
    let whoami = client.call_tool(CallToolRequestParams::new("whoami")).await.expect("a user");
    let user: Value = serde_json::from_str(&whoami.content[0].as_text().expect("text").text).expect("JSON");
    assert_eq!(user["subject"], "alice");

    let admin_echo = || {
        let Value::Object(arguments) = json!({"message": "hello"}) else { unreachable!() };
        CallToolRequestParams::new("admin_echo").with_arguments(arguments)
    };
    let Err(ServiceError::TransportSend(error)) = client.call_tool(admin_echo()).await else { panic!("not refused") };
    let mut source: Option<&(dyn Error + 'static)> = Some(error.error.as_ref());
    let scope = loop {
        let Some(current) = source else { panic!("no challenge: {error:?}") };
        if let Some(challenge) = current.downcast_ref::<InsufficientScopeError>() {
            break challenge.get_required_scope();
        }
        source = current.source();
    };
    assert_eq!(scope, Some("mcp:admin"));
    let answer = connect(&admin).await.call_tool(admin_echo()).await.expect("an echo");
    assert_eq!(answer.content[0].as_text().expect("text").text, "hello");
}
