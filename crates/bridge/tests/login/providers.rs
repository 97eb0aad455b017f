//! What comes of a login at the provider, and what the client learns of it.

use std::time::Duration;

use portcullis_bridge::ScopePolicy;
use portcullis_core::{Reason, ScopeSet};
use portcullis_testkit::{AuthorizationResponse, Endpoint, Fault, IdentityProvider, LoginPolicy, TokenBuilder};
use serde_json::json;
use url::Url;

use crate::world::{ISSUER, SITE_URI, World, parameter};

/// With which URL the client's browser comes back.
async fn comes_back(world: &World, user: &str) -> Url {
    let request = world.site().await.authorization().expect("a request");
    world.browser().log_in(&request.url(), user).await.expect("an answer").left().expect("left")
}

/// With which error.
async fn error(world: &World) -> (String, String) {
    let left = comes_back(world, "alice").await;
    assert!(left.as_str().starts_with(SITE_URI) && parameter(&left, "code").is_none(), "{left}");
    assert_eq!(parameter(&left, "iss").as_deref(), Some(ISSUER));
    (parameter(&left, "error").expect("an error"), parameter(&left, "error_description").expect("a description"))
}

/// Nothing that was handed out at the provider is good any more.
async fn nothing_is_left(world: &World) {
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.idp.calls(Endpoint::Revocation), 1, "what the provider gave goes back");
}

#[tokio::test(start_paused = true)]
async fn the_client_learns_why_there_is_no_code_in_words_of_the_bridge() {
    let world = World::new().await;
    for (theirs, ours) in [
        ("access_denied", "access_denied"),
        ("temporarily_unavailable", "temporarily_unavailable"),
        ("server_error", "server_error"),
        ("unauthorized_client", "server_error"),
        ("login_required", "server_error"),
        ("<script>", "server_error"),
    ] {
        world.idp.forge_callbacks(move |response| {
            response.without("code").with("error", theirs).with("error_description", "planted description")
        });
        let (code, description) = error(&world).await;
        assert_eq!(code, ours, "{theirs}");
        assert!(!description.contains("planted") && !description.contains("script"), "{description}");
    }
    assert_eq!(world.idp.calls(Endpoint::Token), 0);
}

#[tokio::test(start_paused = true)]
async fn a_user_who_cancels_at_the_provider_is_not_logged_as_an_error() {
    let world = World::new().await;
    world.idp.set_login_policy(LoginPolicy::new().with_denial("access_denied"));
    assert_eq!(error(&world).await.0, "access_denied");
}

#[tokio::test(start_paused = true)]
async fn a_response_of_another_issuer_is_not_listened_to() {
    let world = World::new().await;
    let forgeries: [fn(AuthorizationResponse) -> AuthorizationResponse; 4] = [
        |response| response.with("iss", "https://evil.example.test"),
        |response| response.without("iss"),
        |response| response.with("iss", "https://idp.other.test/"),
        |response| response.with("iss", "https://evil.example.test").without("code").with("error", "access_denied"),
    ];
    for forge in forgeries {
        world.idp.forge_callbacks(forge);
        assert_eq!(error(&world).await.0, "server_error");
    }
    assert_eq!(world.idp.calls(Endpoint::Token), 0, "its code goes nowhere");
}

#[tokio::test(start_paused = true)]
async fn an_invalid_id_token_logs_no_user_in() {
    let world = World::new().await;
    world.idp.forge_id_tokens(|id_token| id_token.with_claim("nonce", "of another login"));
    assert_eq!(error(&world).await.0, "server_error");
    nothing_is_left(&world).await;
    let forgeries: [fn(TokenBuilder) -> TokenBuilder; 5] = [
        |id_token| id_token.with_claim("sub", "mallory"),
        |id_token| id_token.with_audience("another client"),
        |id_token| id_token.with_claim("iss", "https://evil.example.test"),
        |id_token| id_token.unsigned(),
        |id_token| id_token.without_claim("nonce"),
    ];
    for forge in forgeries {
        world.idp.forge_id_tokens(forge);
        assert_eq!(error(&world).await.0, "server_error");
    }
    world.idp.stop_forging();
    assert!(parameter(&comes_back(&world, "alice").await, "code").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_fails_is_no_reason_to_blame_the_user() {
    let world = World::new().await;
    world.idp.set_fault(Endpoint::Token, Fault::status(503));
    assert_eq!(error(&world).await.0, "temporarily_unavailable");
    world.idp.heal(Endpoint::Token);
    tokio::time::sleep(Duration::from_secs(60)).await;
    world.idp.set_fault(Endpoint::UserInfo, Fault::status(500));
    assert_eq!(error(&world).await.0, "temporarily_unavailable");
    nothing_is_left(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_code_that_the_provider_refuses_is_no_login() {
    let world = World::new().await;
    world.idp.forge_callbacks(|response| response.with("code", "guessed"));
    assert_eq!(error(&world).await.0, "access_denied");
}

#[tokio::test(start_paused = true)]
async fn what_must_be_allowed_at_the_provider_is_compared() {
    let needed: ScopeSet = "openid calendar".parse().expect("scopes");
    let world = World::with(|config| config.with_required_upstream_scopes(needed)).await;
    let (code, description) = error(&world).await;
    assert_eq!(code, "access_denied");
    assert!(description.contains("was not granted at the identity provider"), "{description}");
    nothing_is_left(&world).await;
    let needed: ScopeSet = "openid email".parse().expect("scopes");
    let world = World::with(|config| config.with_required_upstream_scopes(needed)).await;
    assert!(parameter(&comes_back(&world, "alice").await, "code").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_user_gets_what_they_may_have_of_what_the_client_asks_for() {
    let entitlements = ScopePolicy::new(|user, asked| {
        let may_write = user.claims().get("groups").or_else(|| user.profile().get("groups")).is_some();
        let given = asked.iter().filter(|scope| *scope != "mcp:write" || may_write);
        ScopeSet::new(given.filter(|_| user.subject() != "mallory")).expect("scopes")
    });
    let world = World::with(|config| config.with_scope_policy(entitlements)).await;
    let profile = json!({"groups": ["writers"]});
    world.idp.set_user("bob", profile.as_object().cloned().expect("an object"));
    let client = world.site().await;
    for (user, scopes) in [("alice", "mcp:read"), ("bob", "mcp:read mcp:write")] {
        let tokens = client.log_in(&mut world.browser(), user).await.expect("tokens");
        assert_eq!(tokens.text("scope"), scopes, "{user}");
    }
    let left = comes_back(&world, "mallory").await;
    assert_eq!(parameter(&left, "error").as_deref(), Some("access_denied"));
    nothing_is_left(&world).await;
}

#[tokio::test(start_paused = true)]
async fn as_26_the_consent_of_one_user_is_not_that_of_another_in_the_same_browser() {
    let world = World::new().await;
    let client = world.site().await;
    let mut browser = world.browser();
    world.idp.set_login_policy(LoginPolicy::new().with_auto_login("alice"));
    client.log_in(&mut browser, "alice").await.expect("tokens");
    // Bob sits down before the same browser, and the provider knows him.
    world.idp.set_login_policy(LoginPolicy::new().with_auto_login("bob"));
    let request = client.authorization().expect("a request");
    let asked = browser.get(&request.url()).await.expect("an answer").page().expect("bob is asked");
    nothing_is_left(&world).await;
    let left = browser.press(&asked, "decision", "approve").await.expect("an answer").left().expect("no loop");
    let tokens = client.redeem(&request, &request.code(&left).expect("a code")).await.expect("tokens");
    assert_eq!(world.verify(tokens.access_token()).await.expect("a user").subject(), "bob");
    let again = browser.get(&client.authorization().expect("a request").url()).await.expect("an answer");
    assert!(again.left().is_ok(), "his consent is remembered now");
}

#[tokio::test(start_paused = true)]
async fn a_browser_that_goes_away_does_not_lose_what_the_provider_has_given() {
    let world = World::new().await;
    world.idp.set_latency(Endpoint::UserInfo, Duration::from_secs(5));
    let request = world.site().await.authorization().expect("a request");
    let mut browser = world.browser();
    let log_in = tokio::spawn(async move { browser.log_in(&request.url(), "alice").await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.idp.calls(Endpoint::Token), 1);
    log_in.abort();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(world.idp.calls(Endpoint::Revocation), 0, "it is kept");
    // Nobody will redeem the code: it is swept, and then the provider is told.
    world.clock.advance(Duration::from_mins(2));
    tokio::time::sleep(Duration::from_mins(2)).await;
    assert_eq!(world.idp.calls(Endpoint::Revocation), 1);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_a_login_whose_browser_has_gone() {
    let world = World::new().await;
    world.idp.set_latency(Endpoint::UserInfo, Duration::from_secs(5));
    let request = world.site().await.authorization().expect("a request");
    let mut browser = world.browser();
    let log_in = tokio::spawn(async move { browser.log_in(&request.url(), "alice").await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    log_in.abort();
    let begun = tokio::time::Instant::now();
    assert_eq!(world.bridge.shutdown().await, 0);
    assert_eq!(begun.elapsed().as_secs(), 4);
    assert_eq!(world.idp.calls(Endpoint::Revocation), 0, "it is kept, for the next process to end");
}

#[tokio::test(start_paused = true)]
async fn ab_06_the_tokens_of_the_provider_stay_here_and_are_no_tokens_here() {
    let world = World::new().await;
    let client = world.site().await;
    let mut browser = world.browser();
    let tokens = client.log_in(&mut browser, "alice").await.expect("tokens");
    let user = world.verify(tokens.access_token()).await.expect("a user");
    assert!(user.upstream().access_token().await.is_ok(), "tools have it");
    let theirs = String::from_utf8_lossy(tokens.body()).into_owned();
    let seen = world.idp.last_request(Endpoint::UserInfo).expect("a request");
    let upstream_text = seen.headers()["authorization"].to_str().expect("text").replace("Bearer ", "");
    assert!(!upstream_text.is_empty() && !theirs.contains(&upstream_text), "the client never sees it");
    let error = world.verify(&upstream_text).await.expect_err("no token of the bridge");
    assert_eq!(error.reason(), Reason::MalformedToken);
}

#[tokio::test(start_paused = true)]
async fn ab_07_the_bridges_own_tokens_are_for_its_resource_and_work_at_no_provider() {
    let world = World::new().await;
    let client = world.site().await;
    let tokens = client.log_in(&mut world.browser(), "alice").await.expect("tokens");
    let user = world.verify(tokens.access_token()).await.expect("a user");
    assert_eq!((user.client_id(), user.issuer().as_str()), (Some("site"), "https://idp.other.test"));
    assert!(user.upstream().access_token().await.is_ok());
    let error =
        world.verify_at(crate::world::OTHER_RESOURCE, tokens.access_token()).await.expect_err("another resource");
    assert_eq!(error.reason(), Reason::WrongAudience);
    let request = http::Request::get(world.idp.endpoint_url(Endpoint::UserInfo));
    let request = request.header("authorization", format!("Bearer {}", tokens.access_token()));
    let answer = world.network.send(request.body(bytes::Bytes::new()).expect("a request")).await.expect("an answer");
    assert_eq!(answer.status(), 401);
}

#[tokio::test(start_paused = true)]
async fn rs_33_what_the_client_sends_goes_to_no_provider() {
    let world = World::new().await;
    let client = world.site().await.with_resource(crate::world::RESOURCE);
    let request =
        client.authorization().expect("a request").with("login_hint", "mallory").with("scope", "mcp:read admin");
    let mut browser = world.browser();
    let consent = browser.get(&request.url()).await.expect("an answer").page().expect("a page");
    let at_provider = browser.press(&consent, "decision", "approve").await.expect("an answer").page().expect("a page");
    let url = at_provider.url();
    assert_eq!(parameter(url, "client_id").as_deref(), Some(IdentityProvider::CLIENT_ID));
    assert_eq!(parameter(url, "redirect_uri").as_deref(), Some("https://mcp.example.test/callback"));
    assert_eq!(parameter(url, "scope").as_deref(), Some("openid email offline_access"));
    for name in ["resource", "login_hint"] {
        assert_eq!(parameter(url, name), None);
    }
    assert!(!url.as_str().contains(request.state()));
}
