//! The demo: its printed commands work, and a client needs its URL only.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
};

use portcullis_test_support::{Browser, Network, OAuthClient};
use serde_json::{Value, json};

use crate::process::{Running, command, demo, folder, free_port, text};

fn paste(line: &str) -> Output {
    Command::new("sh").args(["-c", line]).output().expect("a shell")
}

/// Discovers the authorization server from the URL of the MCP server, as a client does.
async fn client(server: &Running) -> OAuthClient {
    let challenged = server.post(&json!({})).send().await.expect("answer");
    let challenge = challenged.headers()["www-authenticate"].to_str().expect("ASCII").to_owned();
    let parameter = |name: &str| challenge.split(&format!("{name}=\"")).nth(1)?.split('"').next().map(str::to_owned);
    let metadata = reqwest::get(parameter("resource_metadata").expect("a metadata URL")).await.expect("answer");
    let metadata: Value = metadata.json().await.expect("JSON");
    let issuer = metadata["authorization_servers"][0].as_str().expect("an issuer");
    let client = OAuthClient::discover(&Network::new(), issuer).await.expect("metadata");
    client.with_resource(&server.url()).with_scope(&parameter("scope").expect("scopes"))
}

#[tokio::test]
async fn a_client_needs_only_the_url_to_register_log_in_and_call_tools() {
    let (_, server) = demo(free_port(), &folder("demo"));
    let mut client = client(&server).await;
    // The demo does not need the Internet: clients that prefer documents register.
    assert_eq!(client.metadata()["client_id_metadata_document_supported"], false);
    assert_eq!(client.register(&client.registration()).await.expect("answer").status(), 201);
    let mut browser = Browser::new(Network::new()).with_stop_at(client.redirect_uri());
    let tokens = client.log_in(&mut browser, "ada").await.expect("a code");
    assert_eq!(tokens["scope"], "mcp:use");

    let call = async |tool: &str, token: &str| {
        server.call(tool, &json!({"message": "hello"})).bearer_auth(token).send().await.expect("answer")
    };
    let answer: Value = call("whoami", tokens.access_token()).await.json().await.expect("JSON");
    let user: Value = serde_json::from_str(text(&answer)).expect("a user context");
    assert_eq!((&user["subject"], &user["profile"]["name"]), (&json!("ada"), &json!("Ada Lovelace")));
    assert_eq!(user["scopes"], json!(["mcp:use"]));
    assert!(!text(&answer).contains(tokens.access_token()), "a user context never contains the token");

    let answer: Value = call("upstream", tokens.access_token()).await.json().await.expect("JSON");
    let profile: Value = serde_json::from_str(text(&answer)).expect("a profile");
    assert_eq!((&profile["sub"], &profile["email"]), (&json!("ada"), &json!("ada@example.com")));

    // Step-up authorization: `admin_echo` needs a scope that ada is granted and bob is not.
    let refused = call("admin_echo", tokens.access_token()).await;
    assert_eq!(refused.status(), 403);
    assert!(refused.headers()["www-authenticate"].to_str().expect("ASCII").contains("scope=\"mcp:use mcp:admin\""));
    let client = client.with_scope("mcp:use mcp:admin");
    for (user, granted, status) in [("ada", "mcp:use mcp:admin", 200), ("bob", "mcp:use", 403)] {
        let mut browser = Browser::new(Network::new()).with_stop_at(client.redirect_uri());
        let tokens = client.log_in(&mut browser, user).await.expect("a code");
        assert_eq!(tokens["scope"], granted);
        assert_eq!(call("admin_echo", tokens.access_token()).await.status(), status);
    }
}

#[tokio::test]
async fn after_a_restart_the_client_is_registered_and_its_users_are_logged_in() {
    // The identity provider takes another port than its preferred one, which another test may take in between.
    let _preferred = TcpListener::bind(("127.0.0.1", 8001));
    let (port, folder) = (free_port(), folder("restarted"));
    let (_, mut server) = demo(port, &folder);
    let mut client = client(&server).await;
    client.register(&client.registration()).await.expect("answer");
    let mut browser = Browser::new(Network::new()).with_stop_at(client.redirect_uri());
    let tokens = client.log_in(&mut browser, "ada").await.expect("a code");
    server.terminate();
    assert_eq!(server.ended().await.0.code(), Some(0));

    let (_, server) = demo(port, &folder);
    let call = async |tool: &str, token: &str| {
        let answer = server.call(tool, &json!({})).bearer_auth(token).send().await.expect("answer");
        answer.json::<Value>().await.expect("JSON")
    };
    let answer = call("upstream", tokens.access_token()).await;
    assert_eq!(answer["result"]["isError"], json!(false), "the provider accepts its token: {answer}");
    let refreshed = client.refresh(tokens.refresh_token()).await.expect("answer");
    assert_eq!(refreshed.status(), 200, "{refreshed:?}");
    let whoami = call("whoami", refreshed.access_token()).await;
    assert!(text(&whoami).contains("\"subject\": \"ada\""), "{whoami}");
    let tokens = client.log_in(&mut browser, "bob").await.expect("a code");
    assert!(text(&call("whoami", tokens.access_token()).await).contains("\"subject\": \"bob\""));
}

#[tokio::test]
async fn the_printed_commands_work_when_pasted() {
    let (lines, mut server) = demo(free_port(), &folder("pasted"));
    for client in ["Claude Code", "Codex", "VS Code", "Cursor", "OpenCode", "Inspector"] {
        let named: Vec<_> = lines.iter().filter(|line| line.trim_start().starts_with(client)).collect();
        assert_eq!(named.len(), 1, "{client}: {lines:#?}");
        assert!(named[0].contains(&server.url()), "{}", named[0]);
    }
    let commands: Vec<&str> = lines.iter().map(|line| line.trim()).filter(|line| line.starts_with("curl ")).collect();
    let [refused, metadata] = commands[..] else { panic!("two commands: {lines:#?}") };

    let answer = String::from_utf8(paste(refused).stdout).expect("UTF-8");
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    let challenge = answer.lines().find(|line| line.to_ascii_lowercase().starts_with("www-authenticate: bearer "));
    assert!(challenge.is_some_and(|line| line.contains("/.well-known/oauth-protected-resource/mcp")), "{answer}");

    let output = paste(metadata);
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    assert_eq!(metadata["issuer"], server.origin());
    assert!(metadata["registration_endpoint"].is_string());
    assert_ne!(
        metadata["client_id_metadata_document_supported"], true,
        "it could not fetch them without Internet access"
    );

    server.terminate();
    assert_eq!(server.ended().await.0.code(), Some(0));
}

#[test]
fn the_files_of_the_demo_have_mode_0600() {
    let folder = folder("closed");
    let (_, _server) = demo(free_port(), &folder);
    let files: Vec<_> = fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    assert!(files.len() >= 2, "{files:?}");
    let mode = |path: &Path| fs::metadata(path).expect("a file").permissions().mode() & 0o777;
    assert!(files.iter().all(|path| mode(path) == 0o600), "{files:?}");
}

#[test]
fn the_demo_with_a_store_in_memory_creates_no_files() {
    let folder = folder("memory");
    let output =
        command().current_dir(&folder).env("PORTCULLIS__STORE__URL", "memory:").env("PORTCULLIS__LISTEN", "x").output();
    assert_eq!(
        output.expect("the binary runs").status.code(),
        Some(2),
        "the address is validated after the keys would have been created"
    );
    assert_eq!(fs::read_dir(&folder).expect("a folder").count(), 0);
}

#[tokio::test]
async fn the_error_about_a_port_in_use_names_the_key_to_change() {
    let folder = folder("taken");
    let (_, server) = demo(free_port(), &folder);
    let (host, port) = server.address();
    let output = command().current_dir(&folder).env("PORTCULLIS__LISTEN", format!("{host}:{port}")).output();
    let output = output.expect("the binary runs");
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains(&format!("{host}:{port}")) && stderr.contains("PORTCULLIS__LISTEN"), "{stderr}");
}

#[test]
fn an_invalid_variable_stops_the_demo() {
    let output = command().current_dir(folder("bad")).env("PORTCULLIS__CACHE__TLL", "5m").output();
    let output = output.expect("the binary runs");
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(stderr.contains("PORTCULLIS__CACHE__TLL") && stderr.contains("`ttl`"), "{stderr}");
}
