//! `mode = "bridge"`: logins at an OpenID provider, sessions, and the upstream tokens.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use portcullis_test_support::{Answer, Browser, Endpoint, Fault, IdentityProvider, Network, OAuthClient, TokenPolicy};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::process::{Running, bridge, command, file, folder, free_port, text};

/// Returns the keys of the section `bridge` that configure the provider.
pub(crate) fn oidc(issuer: &str) -> String {
    format!(
        "provider = \"oidc\"\nissuer = \"{issuer}\"\nclient_id = \"{}\"\nclient_secret = \"{}\"\n\
         scopes = [\"openid\", \"profile\", \"email\", \"offline_access\"]",
        IdentityProvider::CLIENT_ID,
        IdentityProvider::CLIENT_SECRET
    )
}

/// Registers a client at `server`.
pub(crate) async fn registered(server: &Running) -> OAuthClient {
    let client = OAuthClient::discover(&Network::new(), &server.origin()).await.expect("metadata");
    let mut client = client.with_resource(&server.url()).with_scope("mcp:use");
    assert_eq!(client.register(&client.registration()).await.expect("answer").status(), 201);
    client
}

/// Logs `user` in with a new browser, and returns the tokens.
pub(crate) async fn log_in(client: &OAuthClient, user: &str) -> Answer {
    let mut browser = Browser::new(Network::new()).with_stop_at(client.redirect_uri());
    client.log_in(&mut browser, user).await.expect("a code")
}

pub(crate) async fn call(server: &Running, tool: &str, token: &str) -> Response {
    server.call(tool, &json!({})).bearer_auth(token).send().await.expect("answer")
}

/// Calls a tool, and returns its result as JSON.
pub(crate) async fn call_json(server: &Running, tool: &str, token: &str) -> Value {
    let answer: Value = call(server, tool, token).await.json().await.expect("JSON");
    let result = serde_json::from_str(text(&answer));
    assert!(result.is_ok(), "{answer}");
    result.unwrap_or_default()
}

/// Returns the section `store` for a database in `folder`.
pub(crate) fn sqlite(folder: &Path) -> String {
    let keys = folder.join("keys");
    if !keys.exists() {
        fs::write(&keys, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n").expect("keys");
        fs::set_permissions(&keys, fs::Permissions::from_mode(0o600)).expect("closed");
    }
    let path = folder.join("portcullis.db");
    format!("url = \"sqlite://{}\"\nencryption_keys_file = \"{}\"", path.display(), keys.display())
}

/// Asserts that the database is whole in one file: there is no write-ahead log beside it.
pub(crate) fn assert_one_file(folder: &Path) {
    let files = fs::read_dir(folder).expect("a folder").map(|file| file.expect("an entry").file_name());
    let mut names: Vec<_> = files.collect();
    names.sort();
    assert_eq!(names, ["keys", "portcullis.db"]);
}

#[tokio::test]
async fn sessions_and_clients_outlive_a_restart() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let (port, folder) = (free_port(), folder("sessions"));
    let text = bridge(&oidc(running.url()), &sqlite(&folder));

    let mut server = Running::serve(port, &text);
    server.wait_for("/readyz", 200).await;
    let client = registered(&server).await;
    let tokens = log_in(&client, "alice").await;
    assert_eq!(call_json(&server, "whoami", tokens.access_token()).await["subject"], "alice");
    server.terminate();
    assert_eq!(server.ended().await.0.code(), Some(0));
    assert_one_file(&folder);

    let server = Running::serve(port, &text);
    server.wait_for("/readyz", 200).await;
    assert_eq!(call_json(&server, "whoami", tokens.access_token()).await["subject"], "alice");
    let refreshed = client.refresh(tokens.refresh_token()).await.expect("answer");
    assert_eq!(call_json(&server, "upstream", refreshed.access_token()).await["sub"], "alice");
    for name in ["portcullis.db", "portcullis.db-wal"] {
        let content = fs::read(folder.join(name)).expect("a file");
        for secret in [tokens.access_token(), tokens.refresh_token(), refreshed.access_token(), "alice@example.test"] {
            assert!(!content.windows(secret.len()).any(|window| window == secret.as_bytes()), "{name}");
        }
    }
}

#[tokio::test]
async fn after_a_change_of_the_provider_users_log_in_again_and_the_new_provider_receives_no_old_token() {
    let (before, now) = (IdentityProvider::new(), IdentityProvider::new());
    let (running_before, running_now) = (before.serve().await.expect("a port"), now.serve().await.expect("a port"));
    let (port, folder) = (free_port(), folder("moved"));
    let server = Running::serve(port, &bridge(&oidc(running_before.url()), &sqlite(&folder)));
    server.wait_for("/readyz", 200).await;
    let client = registered(&server).await;
    let tokens = log_in(&client, "alice").await;
    drop(server);

    let server = Running::serve(port, &bridge(&oidc(running_now.url()), &sqlite(&folder)));
    server.wait_for("/readyz", 200).await;
    assert_eq!(call(&server, "whoami", tokens.access_token()).await.status(), StatusCode::UNAUTHORIZED);
    let refused = client.refresh(tokens.refresh_token()).await.expect("answer");
    assert_eq!(refused.error(), Some("invalid_grant"));
    for endpoint in [Endpoint::Token, Endpoint::Revocation, Endpoint::UserInfo] {
        assert_eq!(now.calls(endpoint), 0, "{endpoint:?}");
    }
    let tokens = log_in(&client, "alice").await;
    assert_eq!(call_json(&server, "whoami", tokens.access_token()).await["issuer"], running_now.url());
}

#[tokio::test]
async fn tools_call_the_provider_with_a_valid_upstream_token() {
    let provider = IdentityProvider::new();
    provider.set_token_policy(TokenPolicy::new().with_access_token_lifetime(Duration::from_secs(5)));
    let running = provider.serve().await.expect("a port");
    let server = Running::bridge(&oidc(running.url())).await;
    let tokens = log_in(&registered(&server).await, "alice").await;
    assert_eq!(call_json(&server, "upstream", tokens.access_token()).await["sub"], "alice");
    tokio::time::sleep(Duration::from_millis(5200)).await;
    assert_eq!(call_json(&server, "upstream", tokens.access_token()).await["sub"], "alice");
    assert!(provider.rotations() >= 1, "the upstream token was refreshed, the client's token was not");
    assert_eq!(provider.dead_calls(), 0);
}

#[tokio::test]
async fn a_user_whose_grant_was_revoked_at_the_provider_logs_in_again() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let server = Running::bridge(&oidc(running.url())).await;
    let client = registered(&server).await;
    let tokens = log_in(&client, "alice").await;
    assert_eq!(call_json(&server, "upstream", tokens.access_token()).await["sub"], "alice");
    provider.revoke_grant("alice");
    // The tool call discovers the revocation; the next request is rejected with 401.
    let answer: Value = call(&server, "upstream", tokens.access_token()).await.json().await.expect("JSON");
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    assert_eq!(call(&server, "whoami", tokens.access_token()).await.status(), StatusCode::UNAUTHORIZED);
    let refused = client.refresh(tokens.refresh_token()).await.expect("answer");
    assert_eq!(refused.error(), Some("invalid_grant"));
}

#[tokio::test]
async fn a_revoked_token_is_rejected_at_once() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let server = Running::bridge(&oidc(running.url())).await;
    let client = registered(&server).await;
    let tokens = log_in(&client, "alice").await;
    assert_eq!(call(&server, "whoami", tokens.access_token()).await.status(), StatusCode::OK);
    assert_eq!(client.revoke(tokens.refresh_token()).await.expect("answer").status(), 200);
    assert_eq!(call(&server, "whoami", tokens.access_token()).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_server_waits_for_a_provider_that_is_unavailable_at_startup() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    for place in [Endpoint::OpenIdConfiguration, Endpoint::AuthorizationServerMetadata] {
        provider.set_fault(place, Fault::status(503));
    }
    let server = Running::serve(free_port(), &bridge(&oidc(running.url()), "url = \"memory:\""));
    server.wait_for("/healthz", 200).await;
    let waiting = server.admin("/readyz").await.expect("answer");
    assert_eq!(waiting.status(), StatusCode::SERVICE_UNAVAILABLE);
    let text = waiting.text().await.expect("text");
    assert!(text.contains("no metadata of the provider"), "{text}");
    server.logged(&["provider metadata cannot be fetched"]).await;
    let text = server.admin("/readyz").await.expect("answer").text().await.expect("text");
    for part in [running.url(), "503", "`bridge.issuer`"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let refused = server.call("whoami", &json!({})).bearer_auth("pcat_x").send().await.expect("answer");
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE, "an outage does not ask for a login");
    assert!(refused.headers().contains_key("retry-after"));

    for place in [Endpoint::OpenIdConfiguration, Endpoint::AuthorizationServerMetadata] {
        provider.heal(place);
    }
    server.wait_for("/readyz", 200).await;
    let tokens = log_in(&registered(&server).await, "alice").await;
    assert_eq!(call_json(&server, "whoami", tokens.access_token()).await["subject"], "alice");
}

#[tokio::test]
async fn the_server_can_be_stopped_while_it_waits_for_the_provider() {
    let issuer = format!("http://127.0.0.1:{}", free_port());
    let folder = folder("waiting");
    let mut server = Running::serve(free_port(), &bridge(&oidc(&issuer), &sqlite(&folder)));
    server.wait_for("/healthz", 200).await;
    server.terminate();
    assert_eq!(server.ended().await.0.code(), Some(0));
    assert_one_file(&folder);
}

#[tokio::test]
async fn access_tokens_can_be_jwts_that_other_resource_servers_verify() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let server = Running::bridge(&format!("{}\naccess_tokens = \"jwt\"", oidc(running.url()))).await;
    let client = registered(&server).await;
    let tokens = log_in(&client, "alice").await;
    assert!(tokens.access_token().starts_with("eyJ"));
    assert_eq!(call_json(&server, "whoami", tokens.access_token()).await["subject"], "alice");
    assert!(client.metadata()["jwks_uri"].is_string());
}

#[tokio::test]
async fn the_operator_can_restrict_clients_to_preregistered_ones() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let redirect_uri = OAuthClient::REDIRECT_URI;
    let keys = format!(
        "{}\ndocuments.enabled = false\nregistration.enabled = false\n\
         [[bridge.clients]]\nclient_id = \"app\"\nname = \"The app\"\nredirect_uris = [\"{redirect_uri}\"]\n\
         [[bridge.clients]]\nclient_id = \"backend\"\nclient_secret = \"hush\"\nredirect_uris = [\"{redirect_uri}\"]",
        oidc(running.url())
    );
    let server = Running::bridge(&keys).await;
    let client = OAuthClient::discover(&Network::new(), &server.origin()).await.expect("metadata");
    let client = client.with_resource(&server.url()).with_scope("mcp:use");
    assert!(client.metadata()["registration_endpoint"].is_null());
    assert_ne!(client.metadata()["client_id_metadata_document_supported"], true);
    for client in [client.clone().with_client_id("app"), client.clone().with_client_id("backend").with_secret("hush")] {
        let tokens = log_in(&client, "alice").await;
        assert_eq!(call_json(&server, "whoami", tokens.access_token()).await["client_id"], client.client_id());
    }
    let mut browser = Browser::new(Network::new()).with_stop_at(redirect_uri);
    let page = browser.get(&client.with_client_id("unknown").authorization().expect("request").url()).await;
    assert_eq!(page.and_then(|arrival| arrival.page()).expect("a page").status(), 400);
}

#[tokio::test]
async fn the_configured_parameters_are_sent_to_the_provider() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    for (parameters, present, absent) in [
        ("", "&prompt=consent", "&hd="),
        ("parameters = [\"hd=example.com\"]", "&hd=example.com&prompt=consent", "prompt=login"),
        ("parameters = [\"prompt=login\"]", "&prompt=login", "prompt=consent"),
        ("parameters = [\"prompt=\", \"hd=example.com\"]", "&hd=example.com", "prompt="),
    ] {
        let server = Running::bridge(&format!("{}\n{parameters}", oidc(running.url()))).await;
        let client = registered(&server).await;
        let mut browser = Browser::new(Network::new());
        let url = client.authorization().expect("request").url();
        let page =
            browser.press_through(&url, &[Browser::APPROVE]).await.expect("an answer").page().expect("a login page");
        let query = page.url().query().expect("a query");
        assert!(query.contains(present) && !query.contains(absent), "{parameters}: {query}");
    }
}

#[tokio::test]
async fn an_assertion_of_a_trusted_issuer_needs_no_login_at_the_provider() {
    let (provider, enterprise) = (IdentityProvider::new(), IdentityProvider::new());
    let (running, trusted) = (provider.serve().await.expect("a port"), enterprise.serve().await.expect("a port"));
    let keys = format!(
        "{}\n[[bridge.trusted_issuers]]\nissuer = \"{}\"\n[[bridge.clients]]\nclient_id = \"agent\"\n\
         client_secret = \"hush\"\ngrant_types = [\"urn:ietf:params:oauth:grant-type:jwt-bearer\"]",
        oidc(running.url()),
        trusted.url()
    );
    let server = Running::bridge(&keys).await;
    let agent = OAuthClient::discover(&Network::new(), &server.origin()).await.expect("metadata");
    let agent = agent.with_client_id("agent").with_secret("hush");
    let id_jag = |issuer: &IdentityProvider| {
        let builder = issuer.id_jag("alice", &server.origin(), "agent");
        builder.with_claim("resource", server.url()).with_scope("mcp:use").jwt()
    };
    let tokens = agent.redeem_id_jag(&id_jag(&enterprise)).await.expect("answer");
    let user = call_json(&server, "whoami", tokens.access_token()).await;
    assert_eq!((&user["issuer"], &user["subject"]), (&json!(trusted.url()), &json!("alice")));
    let refused = agent.redeem_id_jag(&id_jag(&provider)).await.expect("answer");
    assert_eq!(refused.error(), Some("invalid_grant"), "the provider is not a trusted issuer of assertions");
    let answer: Value = call(&server, "upstream", tokens.access_token()).await.json().await.expect("JSON");
    assert_eq!(answer["result"]["isError"], true, "such a user has no upstream token: {answer}");
}

/// Returns the granted scopes of `ada` at the provider and of `ada` at the enterprise; both request `mcp:admin`.
async fn scopes_of_both_adas(entitlements: &str) -> [String; 2] {
    let (provider, enterprise) = (IdentityProvider::new(), IdentityProvider::new());
    let (running, trusted) = (provider.serve().await.expect("a port"), enterprise.serve().await.expect("a port"));
    for idp in [&provider, &enterprise] {
        idp.set_user("ada", json!({"department": "operations"}).as_object().expect("members").clone());
    }
    let entitlements = entitlements.replace("PROVIDER", running.url()).replace("ENTERPRISE", trusted.url());
    let keys = format!(
        "{}\n[[bridge.trusted_issuers]]\nissuer = \"{}\"\n[[bridge.clients]]\nclient_id = \"agent\"\n\
         client_secret = \"hush\"\ngrant_types = [\"urn:ietf:params:oauth:grant-type:jwt-bearer\"]\n{entitlements}",
        oidc(running.url()),
        trusted.url()
    );
    let server = Running::bridge(&keys).await;
    let client = registered(&server).await.with_scope("mcp:use mcp:admin");
    let at_provider = log_in(&client, "ada").await;
    let agent = client.with_client_id("agent").with_secret("hush");
    let id_jag = enterprise.id_jag("ada", &server.origin(), "agent").with_claim("department", "operations");
    let id_jag = id_jag.with_claim("resource", server.url()).with_scope("mcp:use mcp:admin").jwt();
    let at_enterprise = agent.redeem_id_jag(&id_jag).await.expect("answer");
    [at_provider, at_enterprise].map(|tokens| tokens["scope"].as_str().expect("a scope").to_owned())
}

#[tokio::test]
async fn an_entitlement_applies_to_users_of_its_issuer_which_is_the_provider_by_default() {
    const WITH: &str = "mcp:use mcp:admin";
    const WITHOUT: &str = "mcp:use";
    let rule = |keys: &str| format!("[[bridge.entitlements]]\nscope = \"mcp:admin\"\n{keys}\n");
    for users in ["subjects = [\"ada\"]", "claim = \"department\"\nvalues = [\"operations\"]"] {
        let of = |issuer: &str| rule(&format!("issuer = \"{issuer}\"\n{users}"));
        for (entitlements, granted) in [
            (rule(users), [WITH, WITHOUT]),
            (of("PROVIDER"), [WITH, WITHOUT]),
            (of("ENTERPRISE"), [WITHOUT, WITH]),
            (rule(users) + &of("ENTERPRISE"), [WITH, WITH]),
        ] {
            assert_eq!(scopes_of_both_adas(&entitlements).await, granted, "{entitlements}");
        }
    }
}

#[tokio::test]
async fn other_resource_servers_introspect_tokens_of_their_resource() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let keys = format!(
        "{}\n[[bridge.resource_servers]]\nclient_id = \"reports\"\nclient_secret = \"hush\"\n\
         resource = \"https://reports.example.com/mcp\"\n\
         [[bridge.resource_servers]]\nclient_id = \"twin\"\nclient_secret = \"hush\"",
        oidc(running.url())
    );
    let server = Running::bridge(&keys).await;
    let client = registered(&server).await;
    let here = log_in(&client, "alice").await;
    let there = log_in(&client.clone().with_resource("https://reports.example.com/mcp"), "alice").await;
    for (name, token, active) in [("reports", &there, true), ("reports", &here, false), ("twin", &here, true)] {
        let resource_server = client.clone().with_client_id(name).with_secret("hush");
        let answer = resource_server.introspect(token.access_token()).await.expect("answer");
        assert_eq!(answer["active"], active, "{name}");
    }
    assert_eq!(call(&server, "whoami", there.access_token()).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_metrics_count_logins() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let server = Running::bridge(&oidc(running.url())).await;
    log_in(&registered(&server).await, "alice").await;
    let metrics = server.admin("/metrics").await.expect("answer").text().await.expect("text");
    assert!(metrics.contains("portcullis_bridge_logins_total{outcome=\"completed\"} 1"), "{metrics}");
}

/// Starts a listener on loopback that never responds. Returns its port and the number of its connections.
async fn listener() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let (port, count) = (listener.local_addr().expect("bound").port(), Arc::<AtomicUsize>::default());
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    (port, count)
}

/// Starts a server with the `egress` keys `keys`, and sends requests that name a metadata document and a key set at `port` of
/// loopback. Returns the responses.
async fn responses_to_loopback_urls(keys: &str, port: u16) -> Vec<(StatusCode, String)> {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let text = format!("{keys}\n{}", bridge(&oidc(running.url()), "url = \"memory:\""));
    let server = Running::serve(free_port(), &text);
    server.wait_for("/readyz", 200).await;
    let mut client = OAuthClient::discover(&Network::new(), &server.origin()).await.expect("metadata");
    let mut answers = Vec::new();
    for host in ["http://127.0.0.1", "https://127.0.0.1", "https://localhost", "http://[::1]"] {
        let documented = client.clone().with_client_id(&format!("{host}:{port}/client.json"));
        let answer = documented.refresh("nothing").await.expect("an answer");
        answers.push((answer.status(), String::from_utf8_lossy(answer.body()).into_owned()));
        let jwks_uri = format!("{host}:{port}/keys");
        let registration = json!({
            "redirect_uris": ["https://app.example.com/callback"],
            "token_endpoint_auth_method": "private_key_jwt",
            "jwks_uri": jwks_uri,
        });
        let id = client.register(&registration).await.expect("an answer").text("client_id").to_owned();
        let jwt = provider.token(&id).with_header("typ", "JWT").with_claim("iss", &*id).with_audience(&server.origin());
        let call = client.refresh("nothing").without_credentials();
        let call = call.with("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
        let call = call.with("client_assertion", &jwt.with_lifetime(Duration::from_mins(1)).jwt());
        let answer = call.await.expect("an answer");
        answers.push((answer.status(), String::from_utf8_lossy(answer.body()).into_owned()));
    }
    answers
}

#[tokio::test]
async fn urls_named_by_clients_are_not_fetched_from_loopback_even_if_the_provider_is_there() {
    let (open, connections) = listener().await;
    for keys in ["", "egress.allowed_networks = [\"127.0.0.0/8\", \"::1/128\"]"] {
        let (at_open, at_closed) =
            (responses_to_loopback_urls(keys, open).await, responses_to_loopback_urls(keys, free_port()).await);
        assert_eq!(connections.load(Ordering::Relaxed), 0, "{keys}");
        assert_eq!(at_open, at_closed, "the response does not reveal whether the port is open: {keys}");
    }
    let allowed = "egress.allow_loopback_for_clients = true\negress.timeout = \"300ms\"";
    responses_to_loopback_urls(allowed, open).await;
    assert!(connections.load(Ordering::Relaxed) > 0, "the operator can permit it");
}

#[tokio::test]
async fn wrong_encryption_keys_are_reported_in_one_line_and_a_new_database_can_be_created() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let folder = folder("wrong-keys");
    let text = bridge(&oidc(running.url()), &sqlite(&folder));
    let mut server = Running::serve(free_port(), &text);
    server.wait_for("/readyz", 200).await;
    server.terminate();
    assert_eq!(server.ended().await.0.code(), Some(0));

    // The keys are checked although the database has no sessions.
    fs::write(folder.join("keys"), "//////////////////////////////////////////8=\n").expect("other keys");
    let port = free_port();
    let config = file(
        &format!("wrong-keys-{port}.toml"),
        &format!("listen = \"127.0.0.1:{port}\"\negress.allow_loopback = true\n{text}"),
    );
    let output = command().arg("--config").arg(config).output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = errors.lines().last().unwrap_or_default();
    for part in ["`store.encryption_keys_file`", "keys", "portcullis.db", "begin anew"] {
        assert!(line.contains(part), "{errors}");
    }

    for name in ["portcullis.db", "portcullis.db-wal", "portcullis.db-shm"] {
        drop(fs::remove_file(folder.join(name)));
    }
    let server = Running::serve(free_port(), &text);
    server.wait_for("/readyz", 200).await;
    let tokens = log_in(&registered(&server).await, "alice").await;
    assert_eq!(call_json(&server, "whoami", tokens.access_token()).await["subject"], "alice");
}

#[tokio::test]
async fn a_configured_error_code_ends_the_grant() {
    let provider = IdentityProvider::new();
    provider.set_token_policy(TokenPolicy::new().with_access_token_lifetime(Duration::from_secs(5)));
    let running = provider.serve().await.expect("a port");
    let keys = format!("{}\ndead_grant_errors = [\"BAD_REFRESH_TOKEN\"]", oidc(running.url()));
    let server = Running::bridge(&keys).await;
    let client = registered(&server).await;
    let tokens = log_in(&client, "alice").await;
    assert_eq!(call(&server, "whoami", tokens.access_token()).await.status(), StatusCode::OK);
    let response = http::Response::builder().status(400).header("content-type", "application/json");
    let response = response.body(r#"{"status":"BAD_REFRESH_TOKEN"}"#.into()).expect("a response");
    provider.set_fault(Endpoint::Token, Fault::answer(response));
    tokio::time::sleep(Duration::from_millis(5200)).await;
    let refused = call(&server, "whoami", tokens.access_token()).await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert!(refused.headers().contains_key("www-authenticate"));
    let refused = client.refresh(tokens.refresh_token()).await.expect("answer");
    assert_eq!(refused.error(), Some("invalid_grant"));
}
