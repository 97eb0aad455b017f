//! `--check --online`: the configuration is compared with the servers that it names; and what the server logs of that at its start.

use portcullis_testkit::{Endpoint, Fault, IdentityProvider};

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
    assert!(!line.contains(IdentityProvider::CLIENT_SECRET), "{line}");
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
        (&format!("jwks_uri = \"{url}/nowhere\""), "jwks_uri", "404"),
        (&format!("{INTROSPECTION} = \"wrong\""), "client_secret", "401 Unauthorized invalid_client"),
    ] {
        assert_finding(&issuer(url, keys), "error", &format!("resource_server.issuers[0].{key}"), part).await;
    }
    let elsewhere = format!("http://127.0.0.1:{}", free_port());
    assert_finding(&issuer(&elsewhere, ""), "error", "resource_server.issuers[0].issuer", "no metadata of").await;
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
    let metadata = serde_json::json!({
        "issuer": running.url(),
        "authorization_endpoint": provider.endpoint_url(Endpoint::Authorization),
        "token_endpoint": provider.endpoint_url(Endpoint::Token),
        "userinfo_endpoint": provider.endpoint_url(Endpoint::UserInfo),
        "revocation_endpoint": provider.endpoint_url(Endpoint::Revocation),
        "jwks_uri": provider.endpoint_url(Endpoint::KeySet),
        "response_types_supported": ["code"],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": ["openid", "profile", "email"],
    });
    for place in [Endpoint::OpenIdConfiguration, Endpoint::AuthorizationServerMetadata] {
        provider.set_fault(place, Fault::body("application/json", metadata.to_string()));
    }
    let text = bridge(&oidc(running.url()), "url = \"memory:\"");
    assert_finding(&text, "warning", "bridge.scopes", "\"offline_access\"").await;

    let server = Running::bridge(&oidc(running.url())).await;
    server.logged(&["WARN", "bridge.scopes", "scopes_supported", "offline_access"]).await;
}
