//! `--check --online`: the configuration is compared with the servers that it names; and what the server logs of that at its start.

use portcullis_testkit::{Endpoint, Fault, IdentityProvider};
use serde_json::{Value, json};

use crate::{
    bridge::oidc,
    process::{Running, bridge, command, file, free_port},
};

/// Returns the exit code and the printed lines of a check of `text`.
async fn check(text: &str) -> (Option<i32>, String) {
    let path = file(&format!("online-{}.toml", free_port()), &format!("egress.allow_loopback = true\n{text}"));
    // The provider is served by the runtime of this test.
    let run = tokio::task::spawn_blocking(move || {
        command().args(["--check", "--online", "--config"]).arg(path).output().expect("the binary runs")
    });
    let output = run.await.expect("it ends");
    (output.status.code(), String::from_utf8(output.stdout).expect("UTF-8"))
}

fn issuer(url: &str, keys: &str) -> String {
    format!("[[resource_server.issuers]]\nissuer = \"{url}\"\n{keys}")
}

/// Asserts that a check finds one thing, in one line that begins with `severity` and `key`, and contains `part`.
async fn assert_finding(text: &str, severity: &str, key: &str, part: &str) {
    let (code, stdout) = check(text).await;
    let expected = if severity == "error" { Some(2) } else { Some(0) };
    assert_eq!(code, expected, "{stdout}");
    let lines: Vec<_> =
        stdout.lines().filter(|line| line.starts_with("error: ") || line.starts_with("warning: ")).collect();
    assert_eq!(lines.len(), 1, "{stdout}");
    let line = lines[0];
    assert!(line.starts_with(&format!("{severity}: `{key}`: ")) && line.contains(part), "{line}");
    assert!(!line.contains(IdentityProvider::CLIENT_SECRET) && !line.contains("hush"), "{line}");
}

const INTROSPECTION: &str = "verify = \"introspection\"\nclient_id = \"resource-server\"\nclient_secret";

#[tokio::test]
async fn a_configuration_that_agrees_has_no_findings() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    for text in [
        issuer(running.url(), "enrich = true"),
        issuer(running.url(), &format!("{INTROSPECTION} = \"{}\"", IdentityProvider::CLIENT_SECRET)),
        bridge(&oidc(running.url()), "url = \"memory:\""),
    ] {
        let (code, stdout) = check(&text).await;
        assert_eq!(code, Some(0), "{stdout}");
        assert_eq!(stdout.lines().count(), 1, "{stdout}");
    }
    assert_eq!(provider.most_times_presented(), 0);
}

#[tokio::test]
async fn each_difference_is_one_line_with_the_key_and_what_to_change() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let url = running.url();
    for (keys, key, part) in [
        ("algorithms = [\"ES384\"]", "algorithms", "RS256"),
        ("jwks_uri = \"https://10.255.255.1/jwks\"", "jwks_uri", "`egress.allowed_networks`"),
        (&format!("jwks_uri = \"{url}/nowhere?api_key=hush\""), "jwks_uri", "404"),
        (&format!("{INTROSPECTION} = \"wrong\""), "client_secret", "invalid_client"),
    ] {
        assert_finding(&issuer(url, keys), "error", &format!("resource_server.issuers[0].{key}"), part).await;
    }
    let elsewhere = format!("http://127.0.0.1:{}", free_port());
    assert_finding(&issuer(&elsewhere, ""), "error", "resource_server.issuers[0].issuer", "no metadata of").await;
}

/// Replaces the metadata of `provider` by the endpoints of a bridge with `changes`.
fn publish(provider: &IdentityProvider, changes: &Value) {
    let mut metadata = json!({
        "issuer": provider.issuer(),
        "authorization_endpoint": provider.endpoint_url(Endpoint::Authorization),
        "token_endpoint": provider.endpoint_url(Endpoint::Token),
        "userinfo_endpoint": provider.endpoint_url(Endpoint::UserInfo),
        "revocation_endpoint": provider.endpoint_url(Endpoint::Revocation),
        "jwks_uri": provider.endpoint_url(Endpoint::KeySet),
        "response_types_supported": ["code"],
        "code_challenge_methods_supported": ["S256"],
    });
    for (name, value) in changes.as_object().expect("an object") {
        metadata[name] = value.clone();
    }
    for place in [Endpoint::OpenIdConfiguration, Endpoint::AuthorizationServerMetadata] {
        provider.set_fault(place, Fault::body("application/json", metadata.to_string()));
    }
}

#[tokio::test]
async fn metadata_that_the_server_rejects_is_not_taken_for_good() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let url = running.url();
    publish(&provider, &json!({"introspection_endpoint": "/introspect"}));
    let text = bridge(&oidc(url), "url = \"memory:\"");
    assert_finding(&text, "error", "bridge.issuer", "\"introspection_endpoint\" is missing or invalid").await;

    publish(&provider, &json!({"jwks_uri": null}));
    let trusted = format!("\n[[bridge.trusted_issuers]]\nissuer = \"{url}\"");
    let keys = format!("\n[bridge.endpoints]\njwks = \"{}\"", provider.endpoint_url(Endpoint::KeySet));
    let text = bridge(&format!("{}{keys}{trusted}", oidc(url)), "url = \"memory:\"");
    assert_finding(&text, "error", "bridge.trusted_issuers[0].jwks_uri", "has no jwks_uri").await;

    publish(&provider, &json!({"userinfo_endpoint": "https://10.255.255.1/userinfo"}));
    let text = bridge(&oidc(url), "url = \"memory:\"");
    assert_finding(&text, "error", "bridge.endpoints.userinfo", "`egress.allowed_networks`").await;
    let text = issuer(url, "enrich = true");
    assert_finding(&text, "error", "resource_server.issuers[0].userinfo_endpoint", "`egress.allowed_networks`").await;
}

#[tokio::test]
async fn what_the_metadata_lacks_is_reported_with_the_key_that_replaces_it() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let url = running.url();
    let of_bridge = bridge(&oidc(url), "url = \"memory:\"");
    let introspection = issuer(url, &format!("{INTROSPECTION} = \"{}\"", IdentityProvider::CLIENT_SECRET));
    let of_issuer = |name: &str| format!("resource_server.issuers[0].{name}");
    for (changes, text, severity, key, part) in [
        (json!({"token_endpoint": null}), &of_bridge, "error", "bridge.endpoints.token", "has no token_endpoint"),
        (
            json!({"authorization_endpoint": null}),
            &of_bridge,
            "error",
            "bridge.endpoints.authorize",
            "has no authorization_endpoint",
        ),
        (json!({"userinfo_endpoint": null}), &of_bridge, "warning", "bridge.endpoints.userinfo", "profile"),
        (json!({"revocation_endpoint": null}), &of_bridge, "warning", "bridge.endpoints.revocation", "not revoked"),
        (
            json!({"token_endpoint_auth_methods_supported": ["private_key_jwt"]}),
            &of_bridge,
            "warning",
            "bridge.token_endpoint_auth_method",
            "without \"client_secret_basic\"",
        ),
        (
            json!({"grant_types_supported": ["authorization_code"]}),
            &of_bridge,
            "warning",
            "bridge.scopes",
            "without \"refresh_token\"",
        ),
        (json!({"jwks_uri": null}), &issuer(url, ""), "error", &of_issuer("jwks_uri"), "has no jwks_uri"),
        (json!({}), &introspection, "error", &of_issuer("introspection_endpoint"), "has no introspection_endpoint"),
        (
            json!({"userinfo_endpoint": null}),
            &issuer(url, "enrich = true"),
            "error",
            &of_issuer("userinfo_endpoint"),
            "has no userinfo_endpoint",
        ),
    ] {
        publish(&provider, &changes);
        assert_finding(text, severity, key, part).await;
    }
    // The key replaces it.
    publish(&provider, &json!({"token_endpoint": null}));
    let endpoints = format!("\n[bridge.endpoints]\ntoken = \"{}\"", provider.endpoint_url(Endpoint::Token));
    let (code, stdout) = check(&format!("{of_bridge}{endpoints}")).await;
    assert!(code == Some(0) && stdout.lines().count() == 1, "{stdout}");
    Running::bridge(&format!("{}{endpoints}", oidc(url))).await;
}

#[tokio::test]
async fn keys_that_verify_no_signature_are_an_error() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let keys = json!({"keys": [{"kty": "RSA", "use": "sig", "n": "AQAB", "e": "AQAB"}]});
    provider.set_fault(Endpoint::KeySet, Fault::body("application/json", keys.to_string()));
    let text = issuer(running.url(), "");
    assert_finding(&text, "error", "resource_server.issuers[0].jwks_uri", "2048").await;
}

#[tokio::test]
async fn the_response_about_a_random_token_shows_whether_the_credentials_are_accepted() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let text = issuer(running.url(), &format!("{INTROSPECTION} = \"{}\"", IdentityProvider::CLIENT_SECRET));
    let response = |status: u16, body: Value| {
        let response = http::Response::builder().status(status).header("content-type", "application/json");
        Fault::answer(response.body(body.to_string().into()).expect("a response"))
    };
    // Some servers reject an unknown token like that.
    provider.set_fault(Endpoint::Introspection, response(401, json!({"error": "invalid_token"})));
    let (code, stdout) = check(&text).await;
    assert!(code == Some(0) && stdout.lines().count() == 1, "{stdout}");
    let endpoint = "resource_server.issuers[0].introspection_endpoint";
    provider.set_fault(Endpoint::Introspection, response(200, json!({"active": true, "sub": "alice"})));
    assert_finding(&text, "error", endpoint, "a random token is active").await;
    provider.set_fault(Endpoint::Introspection, response(400, json!({"error": "unsupported_grant_type"})));
    assert_finding(&text, "error", endpoint, "unsupported_grant_type").await;
    provider.set_fault(Endpoint::Introspection, Fault::status(503));
    assert_finding(&text, "warning", endpoint, "503").await;
}

#[tokio::test]
async fn the_secret_of_a_token_check_is_tried_with_a_random_token() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let endpoints = format!(
        "userinfo_endpoint = \"{}\"\ncheck_token_endpoint = \"{}\"",
        provider.url("/user"),
        provider.url("/applications/resource-server/token")
    );
    let text = |secret: &str| {
        let credentials = INTROSPECTION.replace("introspection\"", "userinfo\"");
        issuer(running.url(), &format!("{credentials} = \"{secret}\"\n{endpoints}"))
    };
    let (code, stdout) = check(&text(IdentityProvider::CLIENT_SECRET)).await;
    assert!(code == Some(0) && stdout.lines().count() == 1, "{stdout}");
    assert_finding(&text("wrong"), "error", "resource_server.issuers[0].client_secret", "rejects the credentials")
        .await;
}

#[tokio::test]
async fn the_scopes_and_methods_that_the_server_uses_are_those_that_are_compared() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    publish(
        &provider,
        &json!({"scopes_supported": ["api://app/mcp.use"], "code_challenge_methods_supported": ["plain"]}),
    );
    let renamed = "required_scopes = [\"mcp.use\"]\nchallenge_scopes = [\"api://app/mcp.use\"]";
    let (code, stdout) = check(&format!("{renamed}\n{}", issuer(running.url(), ""))).await;
    assert!(code == Some(0) && stdout.lines().count() == 1, "{stdout}");
    let text = format!("required_scopes = [\"mcp.use\"]\n{}", issuer(running.url(), ""));
    assert_finding(&text, "warning", "required_scopes", "without \"mcp.use\"").await;

    publish(&provider, &json!({"code_challenge_methods_supported": ["plain"]}));
    let text = bridge(&oidc(running.url()), "url = \"memory:\"");
    assert_finding(&text, "warning", "bridge.oauth2.pkce", "without \"S256\"").await;
    let (code, stdout) = check(&format!("{text}\n[bridge.oauth2]\npkce = false")).await;
    assert!(code == Some(0) && stdout.lines().count() == 1, "{stdout}");
}

#[tokio::test]
async fn the_secret_of_a_bridge_is_tried_with_a_random_code() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let wrong = oidc(running.url()).replace(IdentityProvider::CLIENT_SECRET, "wrong");
    let text = bridge(&wrong, "url = \"memory:\"");
    assert_finding(&text, "error", "bridge.client_secret", "rejects the credentials of this server").await;
}

#[tokio::test]
async fn warnings_do_not_fail_the_check_and_are_logged_at_the_start() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    publish(&provider, &json!({"scopes_supported": ["openid", "profile", "email"]}));
    let text = bridge(&oidc(running.url()), "url = \"memory:\"");
    assert_finding(&text, "warning", "bridge.scopes", "\"offline_access\"").await;

    let server = Running::bridge(&oidc(running.url())).await;
    server.logged(&["WARN", "bridge.scopes", "scopes_supported", "offline_access"]).await;
}
