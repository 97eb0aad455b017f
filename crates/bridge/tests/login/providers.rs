//! Responses of the provider, and what the client is told.

use std::time::Duration;

use portcullis_bridge::ScopePolicy;
use portcullis_core::{Reason, ScopeSet};
use portcullis_testkit::{AuthorizationResponse, Endpoint, Fault, IdentityProvider, LoginPolicy, TokenBuilder};
use serde_json::json;
use url::Url;

use crate::fixture::{Fixture, ISSUER, SITE_URI, parameter};

/// Returns the URL that the browser is redirected to.
pub(crate) async fn comes_back(fixture: &Fixture, user: &str) -> Url {
    let request = fixture.site().await.authorization().expect("a request");
    fixture.browser().log_in(&request.url(), user).await.expect("a response").left().expect("left")
}

/// Returns the error code of the redirect.
pub(crate) async fn error(fixture: &Fixture) -> (String, String) {
    let left = comes_back(fixture, "alice").await;
    assert!(left.as_str().starts_with(SITE_URI) && parameter(&left, "code").is_none(), "{left}");
    assert_eq!(parameter(&left, "iss").as_deref(), Some(ISSUER));
    (parameter(&left, "error").expect("an error"), parameter(&left, "error_description").expect("a description"))
}

/// Asserts that all grants at the provider were revoked.
async fn nothing_is_left(fixture: &Fixture) {
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(fixture.idp.calls(Endpoint::Revocation), 1, "what the provider gave goes back");
}

#[tokio::test(start_paused = true)]
async fn provider_errors_are_reported_to_the_client_in_the_bridges_own_words() {
    let fixture = Fixture::new().await;
    for (theirs, ours) in [
        ("access_denied", "access_denied"),
        ("temporarily_unavailable", "temporarily_unavailable"),
        ("server_error", "server_error"),
        ("unauthorized_client", "server_error"),
        ("login_required", "access_denied"),
        ("consent_required", "access_denied"),
        ("interaction_required", "access_denied"),
        ("account_selection_required", "access_denied"),
        ("user_cancelled_login", "access_denied"),
        ("<script>", "server_error"),
    ] {
        fixture.idp.forge_callbacks(move |response| {
            response.without("code").with("error", theirs).with("error_description", "planted description")
        });
        let (code, description) = error(&fixture).await;
        assert_eq!(code, ours, "{theirs}");
        assert!(!description.contains("planted") && !description.contains("script"), "{description}");
    }
    assert_eq!(fixture.idp.calls(Endpoint::Token), 0);
}

#[tokio::test(start_paused = true)]
async fn a_user_who_cancels_at_the_provider_is_not_logged_as_an_error() {
    let fixture = Fixture::new().await;
    fixture.idp.set_login_policy(LoginPolicy::new().with_denial("access_denied"));
    assert_eq!(error(&fixture).await.0, "access_denied");
}

#[tokio::test(start_paused = true)]
async fn a_response_of_another_issuer_is_rejected() {
    let fixture = Fixture::new().await;
    let forgeries: [fn(AuthorizationResponse) -> AuthorizationResponse; 4] = [
        |response| response.with("iss", "https://evil.example.test"),
        |response| response.without("iss"),
        |response| response.with("iss", "https://idp.other.test/"),
        |response| response.with("iss", "https://evil.example.test").without("code").with("error", "access_denied"),
    ];
    for forge in forgeries {
        fixture.idp.forge_callbacks(forge);
        assert_eq!(error(&fixture).await.0, "server_error");
    }
    assert_eq!(fixture.idp.calls(Endpoint::Token), 0, "its code goes nowhere");
}

#[tokio::test(start_paused = true)]
async fn an_invalid_id_token_logs_no_user_in() {
    let fixture = Fixture::new().await;
    fixture.idp.forge_id_tokens(|id_token| id_token.with_claim("nonce", "of another login"));
    assert_eq!(error(&fixture).await.0, "server_error");
    nothing_is_left(&fixture).await;
    let forgeries: [fn(TokenBuilder) -> TokenBuilder; 5] = [
        |id_token| id_token.with_claim("sub", "mallory"),
        |id_token| id_token.with_audience("another client"),
        |id_token| id_token.with_claim("iss", "https://evil.example.test"),
        |id_token| id_token.unsigned(),
        |id_token| id_token.without_claim("nonce"),
    ];
    for forge in forgeries {
        fixture.idp.forge_id_tokens(forge);
        assert_eq!(error(&fixture).await.0, "server_error");
    }
    fixture.idp.stop_forging();
    assert!(parameter(&comes_back(&fixture, "alice").await, "code").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_provider_failure_is_not_access_denied() {
    let fixture = Fixture::new().await;
    fixture.idp.set_fault(Endpoint::Token, Fault::status(503));
    assert_eq!(error(&fixture).await.0, "temporarily_unavailable");
    fixture.idp.heal(Endpoint::Token);
    tokio::time::sleep(Duration::from_secs(60)).await;
    fixture.idp.set_fault(Endpoint::UserInfo, Fault::status(500));
    assert_eq!(error(&fixture).await.0, "temporarily_unavailable");
    nothing_is_left(&fixture).await;
}

#[tokio::test(start_paused = true)]
async fn a_code_that_the_provider_rejects_is_an_error() {
    let fixture = Fixture::new().await;
    fixture.idp.forge_callbacks(|response| response.with("code", "guessed"));
    assert_eq!(error(&fixture).await.0, "access_denied");
}

#[tokio::test(start_paused = true)]
async fn required_upstream_scopes_are_checked() {
    let needed: ScopeSet = "openid calendar".parse().expect("scopes");
    let fixture = Fixture::with(|config| config.with_required_upstream_scopes(needed)).await;
    let (code, description) = error(&fixture).await;
    assert_eq!(code, "access_denied");
    assert!(description.contains("was not granted at the identity provider"), "{description}");
    nothing_is_left(&fixture).await;
    let needed: ScopeSet = "openid email".parse().expect("scopes");
    let fixture = Fixture::with(|config| config.with_required_upstream_scopes(needed)).await;
    assert!(parameter(&comes_back(&fixture, "alice").await, "code").is_some());
}

#[tokio::test(start_paused = true)]
async fn the_scope_policy_limits_the_requested_scopes() {
    let entitlements = ScopePolicy::new(|user, asked| {
        let may_write = user.claims().get("groups").or_else(|| user.profile().get("groups")).is_some();
        let given = asked.iter().filter(|scope| *scope != "mcp:write" || may_write);
        ScopeSet::new(given.filter(|_| user.subject() != "mallory")).expect("scopes")
    });
    let fixture = Fixture::with(|config| config.with_scope_policy(entitlements)).await;
    let profile = json!({"groups": ["writers"]});
    fixture.idp.set_user("bob", profile.as_object().cloned().expect("an object"));
    let client = fixture.site().await;
    for (user, scopes) in [("alice", "mcp:read"), ("bob", "mcp:read mcp:write")] {
        let tokens = client.log_in(&mut fixture.browser(), user).await.expect("tokens");
        assert_eq!(tokens.text("scope"), scopes, "{user}");
    }
    let left = comes_back(&fixture, "mallory").await;
    assert_eq!(parameter(&left, "error").as_deref(), Some("access_denied"));
    nothing_is_left(&fixture).await;
}

#[tokio::test(start_paused = true)]
async fn as_26_the_consent_of_one_user_is_not_that_of_another_in_the_same_browser() {
    let fixture = Fixture::new().await;
    let client = fixture.site().await;
    let mut browser = fixture.browser();
    fixture.idp.set_login_policy(LoginPolicy::new().with_auto_login("alice"));
    client.log_in(&mut browser, "alice").await.expect("tokens");
    // Bob uses the same browser, and has a session at the provider.
    fixture.idp.set_login_policy(LoginPolicy::new().with_auto_login("bob"));
    let request = client.authorization().expect("a request");
    let asked = browser.get(&request.url()).await.expect("a response").page().expect("bob is asked");
    nothing_is_left(&fixture).await;
    let left = browser.press(&asked, "decision", "approve").await.expect("a response").left().expect("no loop");
    let tokens = client.redeem(&request, &request.code(&left).expect("a code")).await.expect("tokens");
    assert_eq!(fixture.verify(tokens.access_token()).await.expect("a user").subject(), "bob");
    let again = browser.get(&client.authorization().expect("a request").url()).await.expect("a response");
    assert!(again.left().is_ok(), "his consent is remembered now");
}

#[tokio::test(start_paused = true)]
async fn a_login_completes_although_the_browser_disconnects() {
    let fixture = Fixture::new().await;
    fixture.idp.set_latency(Endpoint::UserInfo, Duration::from_secs(5));
    let request = fixture.site().await.authorization().expect("a request");
    let mut browser = fixture.browser();
    let log_in = tokio::spawn(async move { browser.log_in(&request.url(), "alice").await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(fixture.idp.calls(Endpoint::Token), 1);
    log_in.abort();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(fixture.idp.calls(Endpoint::Revocation), 0, "it is kept");
    // The code is not redeemed: the sweep removes the session and revokes the grant.
    tokio::time::sleep(Duration::from_mins(4)).await;
    assert_eq!(fixture.idp.calls(Endpoint::Revocation), 1);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_a_login_whose_browser_has_gone() {
    let fixture = Fixture::new().await;
    fixture.idp.set_latency(Endpoint::UserInfo, Duration::from_secs(5));
    let request = fixture.site().await.authorization().expect("a request");
    let mut browser = fixture.browser();
    let log_in = tokio::spawn(async move { browser.log_in(&request.url(), "alice").await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    log_in.abort();
    let begun = tokio::time::Instant::now();
    assert_eq!(fixture.bridge.shutdown().await, 0);
    assert_eq!(begun.elapsed().as_secs(), 4);
    assert_eq!(fixture.idp.calls(Endpoint::Revocation), 0, "it is kept, for the next process to end");
}

#[tokio::test(start_paused = true)]
async fn ab_06_the_tokens_of_the_provider_stay_here_and_are_no_tokens_here() {
    let fixture = Fixture::new().await;
    let client = fixture.site().await;
    let mut browser = fixture.browser();
    let tokens = client.log_in(&mut browser, "alice").await.expect("tokens");
    let user = fixture.verify(tokens.access_token()).await.expect("a user");
    assert!(user.upstream().access_token().await.is_ok(), "tools have it");
    let theirs = String::from_utf8_lossy(tokens.body()).into_owned();
    let seen = fixture.idp.last_request(Endpoint::UserInfo).expect("a request");
    let upstream_text = seen.headers()["authorization"].to_str().expect("text").replace("Bearer ", "");
    assert!(!upstream_text.is_empty() && !theirs.contains(&upstream_text), "the client never sees it");
    let error = fixture.verify(&upstream_text).await.expect_err("no token of the bridge");
    assert_eq!(error.reason(), Reason::MalformedToken);
}

#[tokio::test(start_paused = true)]
async fn ab_07_the_bridges_own_tokens_are_for_its_resource_and_work_at_no_provider() {
    let fixture = Fixture::new().await;
    let client = fixture.site().await;
    let tokens = client.log_in(&mut fixture.browser(), "alice").await.expect("tokens");
    let user = fixture.verify(tokens.access_token()).await.expect("a user");
    assert_eq!((user.client_id(), user.issuer().as_str()), (Some("site"), "https://idp.other.test"));
    assert!(user.upstream().access_token().await.is_ok());
    let error =
        fixture.verify_at(crate::fixture::OTHER_RESOURCE, tokens.access_token()).await.expect_err("another resource");
    assert_eq!(error.reason(), Reason::WrongAudience);
    let request = http::Request::get(fixture.idp.endpoint_url(Endpoint::UserInfo));
    let request = request.header("authorization", format!("Bearer {}", tokens.access_token()));
    let answer = fixture.network.send(request.body(bytes::Bytes::new()).expect("a request")).await.expect("a response");
    assert_eq!(answer.status(), 401);
}

#[tokio::test(start_paused = true)]
async fn rs_33_what_the_client_sends_goes_to_no_provider() {
    let fixture = Fixture::new().await;
    let client = fixture.site().await.with_resource(crate::fixture::RESOURCE);
    let request =
        client.authorization().expect("a request").with("login_hint", "mallory").with("scope", "mcp:read admin");
    let mut browser = fixture.browser();
    let consent = browser.get(&request.url()).await.expect("a response").page().expect("a page");
    let at_provider = browser.press(&consent, "decision", "approve").await.expect("a response").page().expect("a page");
    let url = at_provider.url();
    assert_eq!(parameter(url, "client_id").as_deref(), Some(IdentityProvider::CLIENT_ID));
    assert_eq!(parameter(url, "redirect_uri").as_deref(), Some("https://mcp.example.test/callback"));
    assert_eq!(parameter(url, "scope").as_deref(), Some("openid email offline_access"));
    for name in ["resource", "login_hint"] {
        assert_eq!(parameter(url, name), None);
    }
    assert!(!url.as_str().contains(request.state()));
}
