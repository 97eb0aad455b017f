//! Clients that are not ours log in by themselves: found from the refusal, registered or known by a document, refreshed, revoked, back.

use std::time::Duration;

use rmcp::{
    ClientLifecycleMode, ClientServiceExt,
    model::{CallToolRequestParams, ClientConfig, ProtocolVersion},
    service::ServiceError,
    transport::{
        AuthClient, AuthorizationRequest, StreamableHttpClientTransport,
        auth::{AuthorizationCallback, OAuthState},
        streamable_http_client::StreamableHttpClientTransportConfig,
    },
};
use serde_json::{Value, json};
use tokio::{process::Command, time::sleep};

use super::{
    real_clients::assert_in_table,
    server::{APPLICATION, Place, Site},
    user::{accompany, browser, log_in},
};
use crate::harness::{Demo, Process, Provider, REDIRECT_URI, script};

async fn start() -> (Provider, Site) {
    let place = Place::new();
    let provider = Provider::start_with_pages(&place.callback(), 300).await;
    let site = place.open(&provider.issuer, APPLICATION).await;
    (provider, site)
}

/// Runs one of the scripts with `user` in front of it, checks what is the same for all clients, and returns what the script reported.
pub(super) async fn life(command: &mut Command, issuer: &str, user: &str) -> Value {
    let lines = accompany(Process::start(command), ("OPEN ", issuer), &mut browser(), user).await;
    // The last: some clients log JSON.
    let said = lines.iter().rev().find_map(|line| serde_json::from_str::<Value>(line).ok().filter(Value::is_object));
    let said = said.unwrap_or_else(|| panic!("{lines:#?}"));
    assert_eq!(said["tools"], json!(["admin_echo", "echo", "upstream", "whoami"]));
    assert_eq!((&said["user"], &said["upstream"]), (&json!(user), &json!(user)));
    assert_eq!(said["admin"], "hello");
    assert_eq!(said["refreshed"], json!({"user": user, "token": true}));
    assert_eq!((&said["revoked"], &said["again"]), (&json!(200), &json!(user)));
    said
}

/// Checks that a client registered once and logged in three times: at first, for more scopes, and after the revocation.
pub(super) fn assert_stepped_up(said: &Value) {
    assert_eq!((&said["scope"], &said["widened"]), (&json!("mcp:read"), &json!("mcp:read mcp:admin")));
    assert_eq!((&said["seen"]["logins"], &said["seen"]["registrations"]), (&json!(3), &json!(1)));
}

/// Runs one of the scripts with Alice in front of it, once as a client that registers and once by its document.
async fn typescript(name: &str, file: &str, wire: &str) {
    let (_provider, site) = start().await;
    for document in [None, Some(Site::document(file))] {
        let mut command = script(file);
        command.args([&site.url, wire]).args(&document);
        let said = life(&mut command, &site.issuer, "alice").await;
        assert_eq!(said["version"], wire);
        assert_stepped_up(&said);
        assert_in_table(name, wire, said["client"].as_str().expect("a client"), true);
        match document {
            Some(document) => assert_eq!(said["client"], document),
            None => assert!(said["client"].as_str().is_some_and(|id| !id.starts_with("https:")), "{said}"),
        }
    }
}

#[tokio::test]
async fn the_typescript_sdk_1_logs_in_refreshes_revokes_and_logs_in_again() {
    typescript("TypeScript SDK 1", "login-ts-1.mjs", "2025-11-25").await;
}

#[tokio::test]
async fn the_typescript_sdk_2_logs_in_refreshes_revokes_and_logs_in_again_on_the_wire_of_2025() {
    typescript("TypeScript SDK 2", "login-ts-2.mjs", "2025-11-25").await;
}

#[tokio::test]
async fn the_typescript_sdk_2_logs_in_refreshes_revokes_and_logs_in_again_on_the_wire_of_2026() {
    typescript("TypeScript SDK 2", "login-ts-2.mjs", "2026-07-28").await;
}

#[tokio::test]
async fn a_newcomer_who_starts_the_demo_can_log_in_to_it_from_any_client() {
    let demo = Demo::start().await;
    let mut command = script("login-ts-2.mjs");
    command.args([&format!("{}/mcp", demo.origin), "2026-07-28"]);
    let said = life(&mut command, &demo.origin, "ada").await;
    assert_eq!((&said["scope"], &said["widened"]), (&json!("mcp:use"), &json!("mcp:use mcp:admin")));
    assert_eq!((&said["seen"]["logins"], &said["seen"]["registrations"]), (&json!(3), &json!(1)));
}

#[tokio::test]
async fn rmcp_registers_logs_in_refreshes_revokes_and_logs_in_again_on_the_wire_of_2025() {
    rmcp(&ClientLifecycleMode::Initialize, "2025-11-25", None).await;
}

#[tokio::test]
async fn rmcp_shows_its_document_logs_in_refreshes_revokes_and_logs_in_again_on_the_wire_of_2026() {
    let mode = ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] };
    rmcp(&mode, "2026-07-28", Some(Site::document("rmcp"))).await;
}

async fn rmcp(lifecycle: &ClientLifecycleMode, wire: &str, document: Option<String>) {
    let (provider, site) = start().await;
    let mut user = browser().with_stop_at(REDIRECT_URI);
    let mut come_back = async |url: &str| log_in(&mut user, url, "alice").await.left().expect("an answer").to_string();

    let mut login = OAuthState::new(&*site.url, None).await.expect("a client");
    let request = AuthorizationRequest::new(REDIRECT_URI).with_client_name("rmcp").with_initial_scope_selection();
    let request = document.iter().fold(request, |request, document| request.with_client_metadata_url(document));
    login.start_authorization(request).await.expect("a registration");
    let answer = come_back(&login.get_authorization_url().await.expect("a URL")).await;
    login.handle_callback_url(&answer).await.expect("tokens");
    let client = AuthClient::new(reqwest::Client::new(), login.into_authorization_manager().expect("a login"));

    let config = StreamableHttpClientTransportConfig::with_uri(&*site.url);
    let transport = StreamableHttpClientTransport::with_client(client.clone(), config);
    let service = ClientConfig::default().serve_with_lifecycle(transport, lifecycle.clone()).await;
    let service = service.expect("a connection");
    assert_eq!(service.list_all_tools().await.expect("tools").len(), 4);
    let call = async |tool: &'static str| {
        let Value::Object(arguments) = json!({"message": "hello"}) else { unreachable!() };
        let result = service.call_tool(CallToolRequestParams::new(tool).with_arguments(arguments)).await?;
        Ok::<_, ServiceError>(result.content[0].as_text().expect("text").text.clone())
    };
    let subject = |user: &str| serde_json::from_str::<Value>(user).expect("JSON")["subject"].clone();
    assert_eq!(subject(&call("whoami").await.expect("a user")), "alice");

    // It refreshes a token of two seconds in its last second.
    let first = credentials(&client).await;
    sleep(Duration::from_secs(2)).await;
    call("upstream").await.expect("a profile");
    let second = credentials(&client).await;
    assert_ne!(first["access_token"], second["access_token"]);
    assert_ne!(first["refresh_token"], second["refresh_token"]);
    assert_eq!(provider.count("POST /token ").await, 1, "none of them was the provider's business");

    assert!(call("admin_echo").await.is_err(), "it has not asked for that");
    let url = client.auth_manager.lock().await.request_scope_upgrade("mcp:admin").await.expect("a URL");
    finish(&client, &come_back(&url).await).await;
    assert_eq!(call("admin_echo").await.expect("an echo"), "hello");

    let refresh_token = credentials(&client).await["refresh_token"].as_str().expect("one").to_owned();
    let (client_id, _) = client.auth_manager.lock().await.get_credentials().await.expect("credentials");
    assert_eq!(document.is_some(), Some(&client_id) == document.as_ref());
    assert_in_table("rmcp", wire, &client_id, true);
    let form = [("token", &refresh_token), ("client_id", &client_id)];
    let revoked = reqwest::Client::new().post(format!("{}/revoke", site.issuer)).form(&form).send().await;
    assert_eq!(revoked.expect("an answer").status(), 200);
    assert!(call("whoami").await.is_err(), "the session is over");
    let url = client.auth_manager.lock().await.get_authorization_url(&["mcp:read"]).await.expect("a URL");
    finish(&client, &come_back(&url).await).await;
    assert_eq!(subject(&call("whoami").await.expect("a user")), "alice");
}

/// The answer of the token endpoint, as rmcp remembers it.
async fn credentials(client: &AuthClient<reqwest::Client>) -> Value {
    let (_, tokens) = client.auth_manager.lock().await.get_credentials().await.expect("credentials");
    serde_json::to_value(tokens.expect("tokens")).expect("JSON")
}

async fn finish(client: &AuthClient<reqwest::Client>, answer: &str) {
    let AuthorizationCallback { code, csrf_token, issuer, .. } =
        AuthorizationCallback::from_redirect_url(answer).expect("an answer");
    let manager = client.auth_manager.lock().await;
    manager.exchange_code_for_token_with_issuer(&code, &csrf_token, issuer.as_deref()).await.expect("tokens");
}
