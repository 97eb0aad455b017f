//! The requests of a login: scopes, resource, PKCE.

use std::time::Duration;

use portcullis_client::{Challenge, Grant as _, GrantErrorKind, UserAgent};
use portcullis_test_support::{Endpoint, LoginPolicy, TokenPolicy};
use serde_json::{Value, json};

use crate::fixture::{PATH_INSERTED, World, causes, log_in, log_in_after, scopes};

fn scope_challenge(scope: &str) -> Challenge {
    Challenge::bearer().with("scope", scope)
}

fn advertise(world: &World, scopes: &[&str]) {
    let document = json!({
        "resource": world.resource().as_str(),
        "authorization_servers": [world.provider.issuer()],
        "scopes_supported": scopes,
    });
    world.site.publish(PATH_INSERTED, 200, &document);
}

#[tokio::test]
async fn cl_22_scopes_of_a_challenge_that_are_not_advertised_are_requested_all_the_same() {
    let world = World::new().await;
    advertise(&world, &["mcp:basic"]);
    log_in_after(&world.grant(), Some(&scope_challenge("mcp:other")), "").await.expect("as arranged");
    assert_eq!(world.authorization()["scope"], "mcp:other");
}

#[tokio::test]
async fn cl_23_the_scopes_of_a_challenge_are_requested_beside_the_configured_ones() {
    let world = World::new().await;
    let grant = world.grant().with_scopes(scopes("mcp:mine"));
    let binding = grant.resolve(Some(&scope_challenge("mcp:needed"))).await.expect("as arranged");
    assert_eq!(binding.scopes, scopes("mcp:mine"), "a challenge does not make it another binding");
    grant.obtain(&binding, &binding.scopes).await.expect("as arranged");
    assert_eq!(world.authorization()["scope"], "mcp:mine mcp:needed");
}

#[tokio::test]
async fn cl_24_a_step_up_requests_the_granted_scopes_and_the_challenged_ones() {
    let world = World::new().await;
    let grant = world.grant();
    let (_, tokens) = log_in_after(&grant, Some(&scope_challenge("mcp:read")), "").await.expect("as arranged");
    let granted = tokens.scopes.expect("as arranged").to_string();
    log_in_after(&grant, Some(&scope_challenge("mcp:write")), &granted).await.expect("as arranged");
    assert_eq!(world.authorization()["scope"], "mcp:read mcp:write");
}

#[tokio::test]
async fn cl_25_no_more_is_requested_than_the_challenge_names_and_nothing_of_it_later() {
    let world = World::new().await;
    advertise(&world, &["mcp:read", "mcp:admin"]);
    let grant = world.grant();
    log_in_after(&grant, Some(&scope_challenge("mcp:read")), "").await.expect("as arranged");
    assert_eq!(world.authorization()["scope"], "mcp:read");
    let (binding, _) =
        log_in_after(&grant, Some(&scope_challenge("mcp:admin")), "mcp:read").await.expect("as arranged");
    grant.obtain(&binding, &scopes("mcp:read")).await.expect("as arranged");
    assert_eq!(world.authorization()["scope"], "mcp:read", "the challenge was answered");
}

#[tokio::test]
async fn cl_25_the_scopes_of_a_challenge_are_not_requested_after_another_challenge_or_a_refusal() {
    let world = World::new().await;
    let grant = world.grant();
    grant.resolve(Some(&scope_challenge("mcp:old"))).await.expect("as arranged");
    world.provider.set_login_policy(LoginPolicy::new().with_denial("access_denied"));
    log_in_after(&grant, Some(&scope_challenge("mcp:new")), "").await.expect_err("denied");
    assert_eq!(world.authorization()["scope"], "mcp:new");
    world.provider.set_login_policy(LoginPolicy::new().with_auto_login("alice"));
    log_in_after(&grant, None, "mcp:basic").await.expect("as arranged");
    assert_eq!(world.authorization()["scope"], "mcp:basic");
}

#[tokio::test]
async fn cl_26_the_first_scopes_are_those_of_the_challenge_then_the_advertised_ones_then_none() {
    let world = World::new().await;
    advertise(&world, &["mcp:a", "mcp:b", "offline_access"]);
    log_in_after(&world.grant(), Some(&scope_challenge("mcp:c")), "").await.expect("as arranged");
    assert_eq!(world.authorization()["scope"], "mcp:c");
    log_in(&world.grant()).await.expect("as arranged");
    assert_eq!(world.authorization()["scope"], "mcp:a mcp:b");
    advertise(&world, &[]);
    log_in(&world.grant()).await.expect("as arranged");
    assert!(!world.authorization().contains_key("scope"));
}

#[tokio::test]
async fn cl_31_every_request_names_the_resource() {
    let world = World::new().await;
    let grant = world.grant();
    let (binding, tokens) = log_in(&grant).await.expect("as arranged");
    assert_eq!(world.authorization()["resource"], world.resource().as_str());
    assert_eq!(world.token_request()["resource"], world.resource().as_str());
    grant.refresh(&binding, &tokens.refresh_token.expect("as arranged")).await.expect("as arranged");
    assert_eq!(world.token_request()["grant_type"], "refresh_token");
    assert_eq!(world.token_request()["resource"], world.resource().as_str());
}

#[tokio::test]
async fn cl_32_the_resource_is_named_as_specifically_as_its_metadata_does() {
    let world = World::new().await;
    log_in(&world.grant()).await.expect("as arranged");
    assert!(world.authorization()["resource"].ends_with("/mcp"), "with its path");
}

#[tokio::test]
async fn cl_37_offline_access_is_requested_only_where_the_authorization_server_advertises_it() {
    let world = World::new().await;
    let challenge = scope_challenge("mcp:basic");
    log_in_after(&world.grant(), Some(&challenge), "").await.expect("as arranged");
    assert_eq!(world.authorization()["scope"], "mcp:basic");
    assert!(!world.authorization().contains_key("prompt"));
    world.provider.set_metadata("scopes_supported", json!(["mcp:basic", "offline_access"]));
    log_in_after(&world.grant(), Some(&challenge), "").await.expect("as arranged");
    assert_eq!(world.authorization()["scope"], "mcp:basic offline_access");
    assert_eq!(world.authorization()["prompt"], "consent");
    log_in_after(&world.grant().with_prompt("select_account"), Some(&challenge), "").await.expect("as arranged");
    assert_eq!(world.authorization()["prompt"], "select_account");
}

#[tokio::test]
async fn cl_38_a_login_without_a_refresh_token_is_a_login() {
    let world = World::new().await;
    world.provider.set_token_policy(TokenPolicy::new().without_refresh_tokens());
    let (_, tokens) = log_in(&world.grant()).await.expect("as arranged");
    assert!(tokens.refresh_token.is_none());
}

#[tokio::test]
async fn cl_41_every_login_is_protected_by_pkce() {
    let world = World::new().await;
    let grant = world.grant();
    log_in(&grant).await.expect("as arranged");
    let first = world.authorization()["code_challenge"].clone();
    assert!(world.token_request()["code_verifier"].len() >= 43);
    log_in(&grant).await.expect("as arranged");
    assert_ne!(world.authorization()["code_challenge"], first, "each login has its own");
}

#[tokio::test]
async fn cl_42_the_method_is_s256() {
    let world = World::new().await;
    log_in(&world.grant()).await.expect("as arranged");
    assert_eq!(world.authorization()["code_challenge_method"], "S256");
}

#[tokio::test]
async fn cl_43_a_server_that_does_not_state_s256_is_not_used() {
    let world = World::new().await;
    for methods in [Value::Null, json!([]), json!(["plain"]), json!(["s256"])] {
        world.provider.set_metadata("code_challenge_methods_supported", methods.clone());
        let outcome = log_in(&world.grant()).await;
        assert!(outcome.as_ref().is_err_and(|error| error.kind() == GrantErrorKind::Misconfigured), "{methods}");
        assert!(causes(outcome).contains("PKCE"), "{methods}");
    }
    assert!(world.browser.state().opened.is_empty());
}

#[tokio::test]
async fn cl_47_an_authorization_endpoint_of_another_scheme_is_not_opened() {
    let world = World::new().await;
    for endpoint in ["javascript://x/%0aalert(1)", "file://host/share", "http://as.example.com/authorize"] {
        world.provider.set_metadata("authorization_endpoint", endpoint.into());
        let outcome = log_in(&world.grant()).await;
        assert!(outcome.as_ref().is_err_and(|error| error.kind() == GrantErrorKind::Misconfigured), "{endpoint}");
        assert!(causes(outcome).contains("neither https nor http on loopback"), "{endpoint}");
    }
    assert!(world.browser.state().opened.is_empty());
}

#[tokio::test]
async fn a_login_that_the_user_does_not_complete_ends() {
    let world = World::new().await;
    let idle = UserAgent::loopback(|_| Ok(()));
    let outcome = log_in(&world.grant_with(idle).with_time_limit(Duration::from_millis(50))).await;
    assert!(causes(outcome).contains("has not completed the login within 50ms"));
    assert_eq!(world.provider.calls(Endpoint::Token), 0);
}

#[tokio::test]
async fn a_browser_that_cannot_be_opened_is_an_error_at_once() {
    let world = World::new().await;
    let outcome = log_in(&world.grant_with(UserAgent::loopback(|_| Err("no display".into())))).await;
    assert!(causes(outcome).contains("no display"));
}

#[tokio::test]
async fn an_application_can_receive_the_redirect_itself() {
    let world = World::new().await;
    let pasted = UserAgent::custom("https://app.example.com/callback", |url| async move {
        let redirect = crate::fixture::get(&url).await;
        Ok(format!(" {}#x\n", redirect.headers()["location"].to_str()?))
    });
    let (_, tokens) = log_in(&world.grant_with(pasted)).await.expect("as arranged");
    assert!(!tokens.access_token.expose_secret().is_empty());
    assert_eq!(world.authorization()["redirect_uri"], "https://app.example.com/callback");
}

#[tokio::test]
async fn the_page_says_how_the_login_ended() {
    let world = World::new().await;
    log_in(&world.grant()).await.expect("as arranged");
    world.provider.set_login_policy(LoginPolicy::new().with_denial("access_denied"));
    assert!(causes(log_in(&world.grant()).await).contains("access_denied"));
    let pages = world.browser.pages(2).await;
    assert!(pages[0].0.is_success() && pages[0].1.contains("Logged in"), "{:?}", pages[0]);
    assert!(pages[1].0.is_client_error() && pages[1].1.contains("access_denied"), "{:?}", pages[1]);
}

#[tokio::test]
async fn a_refusal_says_what_was_found_and_what_helps() {
    let world = World::new().await;
    let issuer = world.provider.issuer();
    for (code, advice) in [
        ("access_denied", "the user has to log in and to consent"),
        ("invalid_scope", "McpLogin::with_scopes"),
        ("invalid_target", "allow the resource there"),
        ("unauthorized_client", "with this redirect URI"),
    ] {
        world.provider.set_login_policy(LoginPolicy::new().with_denial(code));
        let text = causes(log_in(&world.grant()).await);
        for part in [&*issuer, code, advice] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
    world.provider.set_metadata("code_challenge_methods_supported", json!(["plain"]));
    let text = causes(log_in(&world.grant()).await);
    for part in [&*issuer, "code_challenge_methods_supported", "[\"plain\"]", "S256"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}
