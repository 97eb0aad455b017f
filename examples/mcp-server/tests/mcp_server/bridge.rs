//! mode = "bridge": logins at an OpenID provider, and what becomes of its tokens.

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

/// Those keys of the section `bridge` that name the provider.
pub(crate) fn oidc(issuer: &str) -> String {
    format!(
        "provider = \"oidc\"\nissuer = \"{issuer}\"\nclient_id = \"{}\"\nclient_secret = \"{}\"\n\
         scopes = [\"openid\", \"profile\", \"email\", \"offline_access\"]",
        IdentityProvider::CLIENT_ID,
        IdentityProvider::CLIENT_SECRET
    )
}

/// A client that has registered itself at `server`.
pub(crate) async fn registered(server: &Running) -> OAuthClient {
    let client = OAuthClient::discover(&Network::new(), &server.origin()).await.expect("metadata");
    let mut client = client.with_resource(&server.url()).with_scope("mcp:use");
    assert_eq!(client.register(&client.registration()).await.expect("answer").status(), 201);
    client
}

/// The tokens of `user`, in a new browser.
pub(crate) async fn log_in(client: &OAuthClient, user: &str) -> Answer {
    let mut browser = Browser::new(Network::new()).with_stop_at(client.redirect_uri());
    client.log_in(&mut browser, user).await.expect("a code")
}

pub(crate) async fn call(server: &Running, tool: &str, token: &str) -> Response {
    server.call(tool, &json!({})).bearer_auth(token).send().await.expect("answer")
}

/// What a tool answers with status 200, as JSON.
pub(crate) async fn told(server: &Running, tool: &str, token: &str) -> Value {
    let answer: Value = call(server, tool, token).await.json().await.expect("JSON");
    let told = serde_json::from_str(text(&answer));
    assert!(told.is_ok(), "{answer}");
    told.unwrap_or_default()
}

/// The section `store` for a database in `folder`.
pub(crate) fn sqlite(folder: &Path) -> String {
    let keys = folder.join("keys");
    if !keys.exists() {
        fs::write(&keys, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n").expect("keys");
        fs::set_permissions(&keys, fs::Permissions::from_mode(0o600)).expect("closed");
    }
    let path = folder.join("portcullis.db");
    format!("url = \"sqlite://{}\"\nencryption_keys_file = \"{}\"", path.display(), keys.display())
}

#[tokio::test]
async fn sessions_and_clients_survive_a_restart() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let (port, folder) = (free_port(), folder("sessions"));
    let text = bridge(&oidc(running.url()), &sqlite(&folder));

    let mut server = Running::serve(port, &text);
    server.wait_for("/readyz", 200).await;
    let client = registered(&server).await;
    let tokens = log_in(&client, "alice").await;
    assert_eq!(told(&server, "whoami", tokens.access_token()).await["subject"], "alice");
    server.terminate();
    assert_eq!(server.ended().await.0.code(), Some(0));

    let server = Running::serve(port, &text);
    server.wait_for("/readyz", 200).await;
    assert_eq!(told(&server, "whoami", tokens.access_token()).await["subject"], "alice");
    let refreshed = client.refresh(tokens.refresh_token()).await.expect("answer");
    assert_eq!(told(&server, "upstream", refreshed.access_token()).await["sub"], "alice");
    for name in ["portcullis.db", "portcullis.db-wal"] {
        let kept = fs::read(folder.join(name)).expect("a file");
        for secret in [tokens.access_token(), tokens.refresh_token(), refreshed.access_token(), "alice@example.test"] {
            assert!(!kept.windows(secret.len()).any(|window| window == secret.as_bytes()), "{name}");
        }
    }
}

#[tokio::test]
async fn users_of_a_provider_that_there_was_before_log_in_again_and_the_new_one_never_sees_their_tokens() {
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
    assert_eq!(told(&server, "whoami", tokens.access_token()).await["issuer"], running_now.url());
}

#[tokio::test]
async fn tools_call_the_provider_with_a_token_that_is_alive() {
    let provider = IdentityProvider::new();
    provider.set_token_policy(TokenPolicy::new().with_access_token_lifetime(Duration::from_secs(5)));
    let running = provider.serve().await.expect("a port");
    let server = Running::bridge(&oidc(running.url())).await;
    let tokens = log_in(&registered(&server).await, "alice").await;
    assert_eq!(told(&server, "upstream", tokens.access_token()).await["sub"], "alice");
    tokio::time::sleep(Duration::from_millis(5200)).await;
    assert_eq!(told(&server, "upstream", tokens.access_token()).await["sub"], "alice");
    assert!(provider.rotations() >= 1, "the provider's token was renewed, the client's was not");
    assert_eq!(provider.dead_calls(), 0);
}

#[tokio::test]
async fn a_user_who_withdrew_the_grant_at_the_provider_logs_in_again() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let server = Running::bridge(&oidc(running.url())).await;
    let client = registered(&server).await;
    let tokens = log_in(&client, "alice").await;
    assert_eq!(told(&server, "upstream", tokens.access_token()).await["sub"], "alice");
    provider.revoke_grant("alice");
    // The tool finds out; the next caller is told what to do.
    let answer: Value = call(&server, "upstream", tokens.access_token()).await.json().await.expect("JSON");
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    assert_eq!(call(&server, "whoami", tokens.access_token()).await.status(), StatusCode::UNAUTHORIZED);
    let refused = client.refresh(tokens.refresh_token()).await.expect("answer");
    assert_eq!(refused.error(), Some("invalid_grant"));
}

#[tokio::test]
async fn a_token_that_was_revoked_is_refused_at_once() {
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
async fn a_provider_that_is_down_at_the_start_is_waited_for() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    for place in [Endpoint::OpenIdConfiguration, Endpoint::AuthorizationServerMetadata] {
        provider.set_fault(place, Fault::status(503));
    }
    let server = Running::serve(free_port(), &bridge(&oidc(running.url()), "url = \"memory:\""));
    server.wait_for("/healthz", 200).await;
    let waiting = server.admin("/readyz").await.expect("answer");
    assert_eq!(waiting.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(waiting.text().await.expect("text").contains("no metadata of the provider"));
    let refused = server.call("whoami", &json!({})).bearer_auth("pcat_x").send().await.expect("answer");
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE, "no login is demanded");
    assert!(refused.headers().contains_key("retry-after"));

    for place in [Endpoint::OpenIdConfiguration, Endpoint::AuthorizationServerMetadata] {
        provider.heal(place);
    }
    server.wait_for("/readyz", 200).await;
    let tokens = log_in(&registered(&server).await, "alice").await;
    assert_eq!(told(&server, "whoami", tokens.access_token()).await["subject"], "alice");
}

#[tokio::test]
async fn a_server_that_waits_for_its_provider_can_be_stopped() {
    let issuer = format!("http://127.0.0.1:{}", free_port());
    let mut server = Running::serve(free_port(), &bridge(&oidc(&issuer), "url = \"memory:\""));
    server.wait_for("/healthz", 200).await;
    server.terminate();
    assert_eq!(server.ended().await.0.code(), Some(0));
}

#[tokio::test]
async fn access_tokens_may_be_jwts_that_others_verify() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let server = Running::bridge(&format!("{}\naccess_tokens = \"jwt\"", oidc(running.url()))).await;
    let client = registered(&server).await;
    let tokens = log_in(&client, "alice").await;
    assert!(tokens.access_token().starts_with("eyJ"));
    assert_eq!(told(&server, "whoami", tokens.access_token()).await["subject"], "alice");
    assert!(client.metadata()["jwks_uri"].is_string());
}

#[tokio::test]
async fn who_is_let_in_is_for_the_operator_to_say() {
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
        assert_eq!(told(&server, "whoami", tokens.access_token()).await["client_id"], client.client_id());
    }
    let mut browser = Browser::new(Network::new()).with_stop_at(redirect_uri);
    let page = browser.get(&client.with_client_id("unknown").authorization().expect("request").url()).await;
    assert_eq!(page.and_then(|arrival| arrival.page()).expect("a page").status(), 400);
}

#[tokio::test]
async fn a_provider_is_told_what_the_operator_wants_it_to_know() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    for (parameters, told, not_told) in [
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
        assert!(query.contains(told) && !query.contains(not_told), "{parameters}: {query}");
    }
}

#[tokio::test]
async fn an_enterprise_vouches_for_users_who_never_were_at_the_provider() {
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
    let user = told(&server, "whoami", tokens.access_token()).await;
    assert_eq!((&user["issuer"], &user["subject"]), (&json!(trusted.url()), &json!("alice")));
    let refused = agent.redeem_id_jag(&id_jag(&provider)).await.expect("answer");
    assert_eq!(refused.error(), Some("invalid_grant"), "no issuer of that name is trusted");
    let answer: Value = call(&server, "upstream", tokens.access_token()).await.json().await.expect("JSON");
    assert_eq!(answer["result"]["isError"], true, "there is nothing to call the provider with: {answer}");
}

/// The scopes that `mcp:admin` was granted among: of ada at the provider, and of ada at the enterprise.
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
async fn an_entitlement_is_for_users_of_the_issuer_that_it_names_and_by_default_of_the_provider() {
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
async fn a_resource_server_elsewhere_asks_about_tokens() {
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
        let asking = client.clone().with_client_id(name).with_secret("hush");
        let answer = asking.introspect(token.access_token()).await.expect("answer");
        assert_eq!(answer["active"], active, "{name}");
    }
    assert_eq!(call(&server, "whoami", there.access_token()).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_metrics_tell_of_logins() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let server = Running::bridge(&oidc(running.url())).await;
    log_in(&registered(&server).await, "alice").await;
    let metrics = server.admin("/metrics").await.expect("answer").text().await.expect("text");
    assert!(metrics.contains("portcullis_bridge_logins_total{outcome=\"completed\"} 1"), "{metrics}");
}

/// A listener on this machine that answers nothing, and how many connections it has had.
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

/// What a server whose section `egress` has `keys` answers to callers that name a document, and a key set, at `port` of this machine.
async fn named_by_callers(keys: &str, port: u16) -> Vec<(StatusCode, String)> {
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
async fn what_callers_name_is_not_fetched_from_this_machine_although_the_provider_is_there() {
    let (open, connections) = listener().await;
    for keys in ["", "egress.allowed_networks = [\"127.0.0.0/8\", \"::1/128\"]"] {
        let (at_open, at_closed) = (named_by_callers(keys, open).await, named_by_callers(keys, free_port()).await);
        assert_eq!(connections.load(Ordering::Relaxed), 0, "{keys}");
        assert_eq!(at_open, at_closed, "whether anything listens is not told: {keys}");
    }
    let allowed = "egress.allow_loopback_for_clients = true\negress.timeout = \"300ms\"";
    named_by_callers(allowed, open).await;
    assert!(connections.load(Ordering::Relaxed) > 0, "unless the operator says so");
}

#[tokio::test]
async fn keys_that_open_nothing_end_the_program_with_a_line_and_a_new_database_begins_anew() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let folder = folder("wrong-keys");
    let text = bridge(&oidc(running.url()), &sqlite(&folder));
    let mut server = Running::serve(free_port(), &text);
    server.wait_for("/readyz", 200).await;
    server.terminate();
    assert_eq!(server.ended().await.0.code(), Some(0));

    // Also before the first login.
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
    assert_eq!(told(&server, "whoami", tokens.access_token()).await["subject"], "alice");
}

#[tokio::test]
async fn a_wording_for_dead_grants_is_checked_and_used() {
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
