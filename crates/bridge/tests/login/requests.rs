//! Authorization requests: accepted and rejected parameters, and who is told of an error.

use http::{StatusCode, header::LOCATION};
use portcullis_test_support::{Arrival, Authorization, OAuthClient, Page};
use url::Url;

use crate::fixture::{
    APP, CURSOR, CURSOR_URI, DOCUMENT, DOCUMENT_URI, Fixture, ISSUER, OTHER_RESOURCE, RESOURCE, SITE, parameter,
};

async fn go(fixture: &Fixture, authorization: &Authorization) -> Arrival {
    fixture.browser().get(&authorization.url()).await.expect("a response")
}

/// Asserts an error page without a redirect.
#[track_caller]
fn told_to_the_user(arrival: Arrival, code: &str) -> Page {
    let page = arrival.page().expect("a page");
    assert_eq!(page.status(), StatusCode::BAD_REQUEST);
    assert!(!page.headers().contains_key(LOCATION));
    assert!(!page.text().contains("http-equiv=\"refresh\""));
    assert!(page.text().contains(&format!("<code>{code}</code>")), "{code}: {}", page.text());
    page
}

type Change = fn(Authorization) -> Authorization;

/// Invalid requests of a known client with a registered redirect URI, and their error codes.
fn wrong() -> Vec<(&'static str, Change)> {
    vec![
        ("unsupported_response_type", |request| request.with("response_type", "token")),
        ("invalid_request", |request| request.without("response_type")),
        ("invalid_request", |request| request.with("response_mode", "fragment")),
        ("invalid_request", |request| request.without("code_challenge")),
        ("invalid_request", |request| request.with("code_challenge", "short")),
        ("invalid_request", |request| request.with("code_challenge", &"!".repeat(43))),
        ("invalid_request", |request| request.without("code_challenge_method")),
        ("invalid_request", |request| request.with("code_challenge_method", "plain")),
        ("invalid_target", |request| request.with("resource", "https://elsewhere.example.test/mcp")),
        ("invalid_target", |request| request.with("resource", "https://mcp.example.test/mcp//")),
        ("invalid_target", |request| request.with("resource", "https://mcp.example.test/mcp#here")),
        ("invalid_target", |request| request.with("resource", RESOURCE).with_another("resource", OTHER_RESOURCE)),
        ("invalid_scope", |request| request.with("scope", "mcp:read \"")),
        ("invalid_scope", |request| request.with("scope", &"a ".repeat(1025))),
        ("interaction_required", |request| request.with("prompt", "none")),
        ("request_not_supported", |request| request.with("request", "e30.e30.")),
        ("request_uri_not_supported", |request| request.with("request_uri", "urn:example:1")),
        ("invalid_request", |request| request.with("state", "\u{7f}")),
        ("invalid_request", |request| request.with("state", &"x".repeat(2049))),
    ]
}

#[tokio::test(start_paused = true)]
async fn as_12_the_client_is_told_where_the_operator_vouches_for_the_place() {
    let fixture = Fixture::new().await;
    let client = fixture.site().await;
    for (code, change) in wrong() {
        let request = change(client.authorization().expect("a request"));
        let left = go(&fixture, &request).await.left().unwrap_or_else(|error| panic!("{code}: {error}"));
        assert_eq!(parameter(&left, "error").as_deref(), Some(code), "{left}");
        assert_eq!(parameter(&left, "iss").as_deref(), Some(ISSUER));
        assert_eq!(parameter(&left, "code"), None);
        let state = request.url().contains(&format!("state={}", request.state())).then(|| request.state().to_owned());
        assert_eq!(parameter(&left, "state"), state, "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn as_13_elsewhere_the_user_is_told_and_goes_on_by_themselves() {
    let fixture = Fixture::new().await;
    for client in [fixture.registered().await, fixture.client(DOCUMENT, DOCUMENT_URI).await] {
        for (code, change) in wrong() {
            let page = told_to_the_user(go(&fixture, &change(client.authorization().expect("a request"))).await, code);
            let links = page.links();
            let [back] = &*links else { panic!("one link: {links:?}") };
            assert!(back.starts_with(&format!("{}?error={code}&", client.redirect_uri())), "{back}");
            let back = Url::parse(back).expect("a URL");
            assert_eq!(parameter(&back, "iss").as_deref(), Some(ISSUER));
            assert!(page.text().contains(&format!("Return to {}", back.host_str().expect("a host"))));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn as_11_a_code_goes_only_where_the_client_has_registered() {
    let fixture = Fixture::new().await;
    let lookalikes = [
        "https://client.example.test/callback/",
        "https://client.example.test/callback?x=1",
        "https://client.example.test/CALLBACK",
        "https://CLIENT.example.test/callback",
        "https://client.example.test:443/callback",
        "https://client.example.test/callback/../callback",
        "https://client.example.test/callback%2e",
        "https://client.example.test/callback#",
        "https://client.example.test@evil.example.test/callback",
        "https://client.example.test.evil.example.test/callback",
        "https://evil.example.test/callback",
        "http://client.example.test/callback",
        "//client.example.test/callback",
        "javascript:alert(1)",
        " https://client.example.test/callback",
    ];
    let client = fixture.site().await;
    for lookalike in lookalikes {
        let request = client.authorization().expect("a request").with("redirect_uri", lookalike);
        let page = told_to_the_user(go(&fixture, &request).await, "invalid_request");
        assert!(!page.text().contains("evil") && page.links().is_empty(), "{lookalike}");
    }
    let twice = client.authorization().expect("a request").with_another("redirect_uri", client.redirect_uri());
    told_to_the_user(go(&fixture, &twice).await, "invalid_request");
}

#[tokio::test(start_paused = true)]
async fn as_11_an_app_on_loopback_may_take_any_port_and_nothing_else() {
    let fixture = Fixture::new().await;
    let request = async |uri: &str| {
        let client = fixture.client(APP, OAuthClient::REDIRECT_URI).await;
        go(&fixture, &client.authorization().expect("a request").with("redirect_uri", uri)).await
    };
    for port in ["", ":1", ":65535"] {
        let page = request(&format!("http://127.0.0.1{port}/callback")).await.page().expect("a page");
        assert_eq!(page.status(), StatusCode::OK);
    }
    for other in ["http://localhost:33418/callback", "http://127.0.0.1:33418/", "https://127.0.0.1:33418/callback"] {
        told_to_the_user(request(other).await, "invalid_request");
    }
}

#[tokio::test(start_paused = true)]
async fn ab_04_a_client_that_is_not_known_or_not_named_leads_nowhere() {
    let fixture = Fixture::new().await;
    let request = || async { fixture.site().await.authorization().expect("a request") };
    told_to_the_user(go(&fixture, &request().await.with("client_id", "unknown")).await, "invalid_client");
    told_to_the_user(go(&fixture, &request().await.without("client_id")).await, "invalid_request");
    for lookalike in [
        "https://client.example.test/callback/",
        "https://client.example.test/callback?x=1",
        "https://evil.example.test/callback",
    ] {
        told_to_the_user(go(&fixture, &request().await.with("redirect_uri", lookalike)).await, "invalid_request");
    }
    told_to_the_user(go(&fixture, &request().await.with_another("client_id", SITE)).await, "invalid_request");
    told_to_the_user(go(&fixture, &request().await.with("padding", &"x".repeat(16 * 1024))).await, "invalid_request");
    let page = told_to_the_user(go(&fixture, &request().await.with("client_id", "<script>")).await, "invalid_client");
    assert!(!page.text().contains("script"), "nothing of the request is in the page");
}

#[tokio::test(start_paused = true)]
async fn redirect_uri_may_be_omitted_if_exactly_one_is_registered() {
    let fixture = Fixture::new().await;
    let request = fixture.site().await.authorization().expect("a request").without("redirect_uri");
    let left = fixture.browser().log_in(&request.url(), "alice").await.expect("a response").left().expect("left");
    assert!(request.code(&left).is_ok());
    let app = fixture.client(APP, OAuthClient::REDIRECT_URI).await;
    let request = app.authorization().expect("a request").without("redirect_uri");
    told_to_the_user(go(&fixture, &request).await, "invalid_request");
}

/// Returns the granted scopes for a request.
async fn granted(fixture: &Fixture, change: impl FnOnce(Authorization) -> Authorization) -> String {
    let client = fixture.site().await;
    let request = change(client.authorization().expect("a request"));
    let left = fixture.browser().log_in(&request.url(), "alice").await.expect("a response").left().expect("left");
    let answer = client.redeem(&request, &request.code(&left).expect("a code")).await.expect("tokens");
    answer.text("scope").to_owned()
}

#[tokio::test(start_paused = true)]
async fn unknown_scopes_are_omitted() {
    let fixture = Fixture::new().await;
    assert_eq!(granted(&fixture, |request| request).await, "mcp:read mcp:write");
    assert_eq!(granted(&fixture, |request| request.with("scope", "offline_access")).await, "mcp:read mcp:write");
    assert_eq!(granted(&fixture, |request| request.with("scope", "openid mcp:write email")).await, "mcp:write");
    let fixture = Fixture::with(|config| config.with_default_scopes("mcp:read".parse().expect("a scope"))).await;
    assert_eq!(granted(&fixture, |request| request).await, "mcp:read");
    assert_eq!(granted(&fixture, |request| request.with("scope", "mcp:write")).await, "mcp:write");
}

#[tokio::test(start_paused = true)]
async fn a_resource_may_be_named_more_than_once_if_it_is_the_same() {
    let fixture = Fixture::new().await;
    let client = fixture.site().await.with_resource(OTHER_RESOURCE);
    let request = client.authorization().expect("a request");
    let request = request.with_another("resource", "HTTPS://REPORTS.example.test/mcp");
    let left = fixture.browser().log_in(&request.url(), "alice").await.expect("a response").left().expect("left");
    let tokens = client.redeem(&request, &request.code(&left).expect("a code")).await.expect("tokens");
    assert!(fixture.verify(tokens.access_token()).await.is_err(), "it is not for the first resource");
    assert!(fixture.verify_at(OTHER_RESOURCE, tokens.access_token()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_state_is_returned_unchanged() {
    let fixture = Fixture::new().await;
    for odd in [r#"{"a": "b&c=d+e%20f"} ~"#, "#?/", &"s".repeat(2048)] {
        let request = fixture.site().await.authorization().expect("a request").with("state", odd);
        let left = fixture.browser().log_in(&request.url(), "alice").await.expect("a response").left().expect("left");
        assert_eq!(parameter(&left, "state").as_deref(), Some(odd));
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_no_state_gets_none() {
    let fixture = Fixture::new().await;
    let client = fixture.client(CURSOR, CURSOR_URI).await;
    for request in [
        client.authorization().expect("a request").without("state"),
        client.authorization().expect("a request").with("state", ""),
    ] {
        let left = fixture.browser().log_in(&request.url(), "alice").await.expect("a response").left().expect("left");
        assert_eq!(parameter(&left, "state"), None);
        assert!(parameter(&left, "code").is_some());
    }
}
