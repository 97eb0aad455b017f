//! Refused logins: the client learns whose fault it is, and the log has one line with step, cause, expectation and key.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use portcullis_bridge::ScopePolicy;
use portcullis_core::ScopeSet;
use portcullis_test_support::{Authorization, LogCapture};
use portcullis_testkit::{Endpoint, Fault, LoginPolicy};
use serde_json::json;

use crate::{
    fixture::{Fixture, ISSUER, SITE_URI},
    providers::{comes_back, error},
};

const REFUSES_US: (&str, &str) = ("server_error", "the identity provider refuses this server");
const UNAVAILABLE: (&str, &str) =
    ("temporarily_unavailable", "the identity provider does not answer, or not at present");
const UNUSABLE: (&str, &str) = ("server_error", "the answer of the identity provider cannot be used");
const BLOCKED: (&str, &str) = ("server_error", "this server may not send requests to the identity provider");
const NOT_COMPLETED: (&str, &str) = ("access_denied", "the login at the identity provider was not completed");

/// A cause of a failed login, the error and the description that the client receives, and texts of the log line.
type Case = (fn(&Fixture), (&'static str, &'static str), &'static [&'static str]);

const CASES: [Case; 19] = [
    (
        |fixture| {
            fixture.idp.forge_callbacks(|response| {
                response.without("code").with("error", "unauthorized_client").with("error_description", "disabled")
            });
        },
        REFUSES_US,
        &["WARN", "authorization_response", "unauthorized_client", "disabled", "bridge.client_id"],
    ),
    (
        |fixture| fixture.idp.forge_callbacks(|response| response.with("iss", "https://evil.example.test")),
        ("server_error", "authorization response of another issuer"),
        &["WARN", "authorization_response", "https://evil.example.test", "https://idp.other.test", "bridge.issuer"],
    ),
    (
        |fixture| fixture.idp.set_login_policy(LoginPolicy::new().with_denial("access_denied")),
        NOT_COMPLETED,
        &["INFO", "authorization_response", "access_denied"],
    ),
    (
        |fixture| {
            fixture.idp.forge_callbacks(|response| response.without("code").with("error", "consent_required"));
        },
        NOT_COMPLETED,
        &["INFO", "consent_required"],
    ),
    (
        |fixture| fixture.idp.forge_callbacks(|response| response.with("code", "guessed")),
        ("access_denied", "the identity provider rejected the login"),
        &["step=\"code\"", "invalid_grant", "bridge.client_id", "public_url"],
    ),
    (
        |fixture| fixture.idp.set_fault(Endpoint::Token, Fault::status(401)),
        REFUSES_US,
        &[
            "ERROR",
            "step=\"code\"",
            "401",
            "invalid_client",
            "bridge.client_secret",
            "bridge.token_endpoint_auth_method",
        ],
    ),
    (
        |fixture| fixture.idp.set_fault(Endpoint::Token, Fault::status(503)),
        UNAVAILABLE,
        &["WARN", "step=\"code\"", "503", "bridge.endpoints"],
    ),
    (
        |fixture| fixture.idp.set_fault(Endpoint::Token, Fault::status(429).with_retry_after("30")),
        UNAVAILABLE,
        &["WARN", "step=\"code\"", "429", "limits the rate of requests"],
    ),
    (
        |fixture| fixture.idp.set_fault(Endpoint::Token, Fault::hang()),
        UNAVAILABLE,
        &["step=\"code\"", "provider_timeout", "egress.timeout"],
    ),
    (
        |fixture| fixture.idp.set_fault(Endpoint::Token, Fault::body("text/html", "<h1>Maintenance</h1>")),
        UNUSABLE,
        &["step=\"code\"", "text/html", "bridge.endpoints.token"],
    ),
    (
        |fixture| fixture.idp.forge_id_tokens(|id_token| id_token.with_audience("another client")),
        UNUSABLE,
        &["id_token", "wrong_audience", "`aud`", "another client", "bridge.client_id"],
    ),
    (
        |fixture| fixture.idp.forge_id_tokens(|id_token| id_token.with_claim("iss", "https://evil.example.test")),
        UNUSABLE,
        &["id_token", "wrong_issuer", "https://evil.example.test", "https://idp.other.test", "bridge.issuer"],
    ),
    (
        |fixture| fixture.idp.forge_id_tokens(|id_token| id_token.with_header("typ", "at+jwt")),
        UNUSABLE,
        &["id_token", "wrong_type", "at+jwt"],
    ),
    (
        |fixture| fixture.idp.forge_id_tokens(|id_token| id_token.without_claim("nonce")),
        UNUSABLE,
        &["id_token", "missing_claim", "nonce"],
    ),
    (
        |fixture| fixture.idp.set_fault(Endpoint::KeySet, Fault::status(500)),
        UNAVAILABLE,
        &["id_token", "key_set_unavailable", "bridge.endpoints.jwks"],
    ),
    (
        |fixture| fixture.idp.set_fault(Endpoint::UserInfo, Fault::status(500)),
        UNAVAILABLE,
        &["profile", "500", "bridge.endpoints"],
    ),
    (
        |fixture| fixture.idp.set_fault(Endpoint::UserInfo, Fault::status(401)),
        REFUSES_US,
        &["profile", "bridge.endpoints.userinfo"],
    ),
    (
        |fixture| {
            let other = json!({"sub": "mallory"}).to_string();
            fixture.idp.set_fault(Endpoint::UserInfo, Fault::body("application/json", other));
        },
        UNUSABLE,
        &["profile", "subject_mismatch", "bridge.endpoints.userinfo"],
    ),
    (
        |fixture| fixture.is_blocked.store(true, Relaxed),
        BLOCKED,
        &["step=\"code\"", "not allowed to call", "egress.allowed_networks"],
    ),
];

/// Fails a login, and checks the client's error and the log line.
async fn assert_logged(fixture: &Fixture, said: (&str, &str), parts: &[&str]) {
    let log = LogCapture::of_this_thread();
    let (code, description) = error(fixture).await;
    assert_eq!((&*code, &*description), said, "{parts:?}");
    let lines = [log.lines("login failed"), log.lines("login rejected")].concat();
    assert_eq!(lines.len(), 1, "one line with {parts:?}: {lines:?}");
    let line = &lines[0];
    for part in ["provider=", "client_id=\"site\""].iter().chain(parts) {
        assert!(line.contains(part), "{part}: {line}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_failed_login_is_one_line_of_the_log_with_its_cause_and_the_keys_to_check() {
    for (provoke, said, parts) in CASES {
        let fixture = Fixture::new().await;
        provoke(&fixture);
        assert_logged(&fixture, said, parts).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_login_without_required_permissions_or_entitlements_is_one_line_of_the_log() {
    let needed: ScopeSet = "openid calendar".parse().expect("scopes");
    let fixture = Fixture::with(|config| config.with_required_upstream_scopes(needed)).await;
    let said = ("access_denied", "a required permission was not granted at the identity provider");
    let parts = ["upstream_scopes", "email", "calendar", "bridge.required_upstream_scopes"];
    assert_logged(&fixture, said, &parts).await;

    let nothing = ScopePolicy::new(|_, _| ScopeSet::default());
    let fixture = Fixture::with(|config| config.with_scope_policy(nothing)).await;
    let said = ("access_denied", "no requested scope is allowed for this user");
    assert_logged(&fixture, said, &["entitlements", "mcp:read mcp:write", "#alice", "bridge.entitlements"]).await;
}

#[tokio::test(start_paused = true)]
async fn every_refused_authorization_request_is_one_line_of_the_log() {
    let fixture = Fixture::new().await;
    type Change = fn(Authorization) -> Authorization;
    let cases: [(Change, &[&str]); 6] = [
        (
            |request| request.with("redirect_uri", "https://client.example.test/other"),
            &["https://client.example.test/other", SITE_URI, "bridge.clients[].redirect_uris"],
        ),
        (
            |request| request.with("resource", "https://elsewhere.example.test/mcp"),
            &["https://elsewhere.example.test/mcp", "https://mcp.example.test/mcp", "public_url"],
        ),
        (|request| request.with("response_type", "token"), &["found=\"token\"", "expected=\"code\""]),
        (|request| request.with("code_challenge_method", "plain"), &["found=\"plain\"", "expected=\"S256\""]),
        (|request| request.with("scope", "mcp:read \""), &["malformed scope"]),
        (|request| request.without("code_challenge"), &["missing parameter: code_challenge"]),
    ];
    let client = fixture.site().await;
    for (change, parts) in cases {
        let log = LogCapture::of_this_thread();
        let request = change(client.authorization().expect("a request"));
        fixture.browser().get(&request.url()).await.expect("a response");
        let lines = log.lines("client request rejected");
        let [line] = &*lines else { panic!("one line with {parts:?}: {lines:?}") };
        for part in ["step=\"authorize\"", "client_id=\"site\""].iter().chain(parts) {
            assert!(line.contains(part), "{part}: {line}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_refused_consent_and_callback_is_one_line_of_the_log() {
    let fixture = Fixture::new().await;
    let request = fixture.site().await.authorization().expect("a request");
    let mut browser = fixture.browser();
    let page = browser.get(&request.url()).await.expect("a response").page().expect("a page");
    let one_line = |log: &LogCapture, parts: &[&str]| {
        let lines = log.lines("client request rejected");
        let [line] = &*lines else { panic!("one line with {parts:?}: {lines:?}") };
        for part in parts {
            assert!(line.contains(part), "{part}: {line}");
        }
    };

    let log = LogCapture::of_this_thread();
    fixture.browser().press(&page, "decision", "approve").await.expect("a response");
    one_line(&log, &["step=\"consent\"", "client_id=\"site\"", "no cookie", "the cookie that came with the page"]);

    let log = LogCapture::of_this_thread();
    browser.clone().press(&page, "decision", "deny").await.expect("a response");
    one_line(&log, &["step=\"consent\"", "client_id=\"site\"", "the user denied access"]);

    let log = LogCapture::of_this_thread();
    fixture.clock.advance(Duration::from_mins(11));
    browser.clone().press(&page, "decision", "approve").await.expect("a response");
    one_line(&log, &["step=\"consent\"", "this page has expired", "600s"]);

    let log = LogCapture::of_this_thread();
    fixture.browser().get(&format!("{ISSUER}/callback?state=unknown&code=c0de")).await.expect("a response");
    one_line(&log, &["step=\"callback\"", "a `state` of no pending login"]);

    let log = LogCapture::of_this_thread();
    fixture.browser().get(&format!("{ISSUER}/callback?code=c0de")).await.expect("a response");
    one_line(&log, &["step=\"callback\"", "malformed response of an identity provider", "`state`"]);
}

#[tokio::test(start_paused = true)]
async fn a_completed_login_is_one_line_of_the_log_with_client_user_and_session() {
    let fixture = Fixture::new().await;
    let log = LogCapture::of_this_thread();
    let left = comes_back(&fixture, "alice").await;
    let lines = log.lines("login completed");
    let [line] = &*lines else { panic!("one line: {lines:?}") };
    let user = format!("user=\"{}#alice\"", fixture.idp.issuer());
    for part in ["INFO", "client_id=\"site\"", "session=", "scope=\"mcp:read mcp:write\"", &user] {
        assert!(line.contains(part), "{part}: {line}");
    }
    let code = left.query_pairs().find(|(name, _)| name == "code").expect("a code").1;
    assert!(!log.text().contains(&*code), "the code is not logged");
}
