//! The consent page: its content, its form, and the lifetime of a consent.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use portcullis_bridge::{BridgeConfig, Client, RedirectUri};
use portcullis_test_support::{Arrival, Browser, Endpoint, LoginPolicy, OAuthClient, Page, Submission};
use serde_json::json;

use crate::fixture::{
    APP, CURSOR, CURSOR_URI, DOCUMENT, DOCUMENT_URI, Fixture, ISSUER, REGISTERED_URI, RESOURCE, SITE, parameter,
};

const CONSENT: &str = "https://mcp.example.test/consent";

/// Returns the consent page of a client.
pub(crate) async fn page(browser: &mut Browser, client: &OAuthClient) -> Page {
    let request = client.authorization().expect("a request");
    browser.get(&request.url()).await.expect("a response").page().expect("a page")
}

fn asks_for_consent(page: &Page) -> bool {
    page.buttons() == [("decision".to_owned(), "approve".to_owned()), ("decision".to_owned(), "deny".to_owned())]
}

#[track_caller]
fn refused(arrival: Arrival, status: StatusCode) -> Page {
    let page = arrival.page().expect("a page");
    assert_eq!(page.status(), status, "{}", page.text());
    assert!(!page.headers().contains_key(header::SET_COOKIE) && !page.text().contains("http-equiv=\"refresh\""));
    page
}

#[track_caller]
pub(crate) fn cannot_be_misused(headers: &HeaderMap) {
    let policy = headers["content-security-policy"].to_str().expect("text");
    for part in ["default-src 'none'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    for (name, value) in [
        ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"),
        ("cache-control", "no-store"),
        ("content-type", "text/html; charset=utf-8"),
    ] {
        assert_eq!(headers[name], value, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn ab_02_the_page_says_who_asks_for_what_and_where_the_answer_goes() {
    let fixture = Fixture::new().await;
    let client = fixture.site().await.with_scope("mcp:read");
    let page = page(&mut fixture.browser(), &client).await;
    assert_eq!(page.status(), StatusCode::OK);
    let text = page.text();
    for shown in [
        "A site",
        "<strong>client.example.test</strong>",
        "https://client.example.test/callback",
        RESOURCE,
        "<code>mcp:read</code>",
        "idp.other.test",
        "<code>openid</code>",
        "<code>email</code>",
        "<code>offline_access</code>",
        "lang=\"en\"",
    ] {
        assert!(text.contains(shown), "{shown}");
    }
    assert!(!text.contains("mcp:write"), "it was not asked for");
    assert!(!text.contains("<script") && !text.contains("src="), "nothing runs, nothing is loaded");
}

#[tokio::test(start_paused = true)]
async fn ab_02_no_page_can_be_framed() {
    let fixture = Fixture::new().await;
    let mut browser = fixture.browser();
    let client = fixture.registered().await;
    let consent = page(&mut browser, &client).await;
    cannot_be_misused(consent.headers());
    assert_eq!(consent.headers()["referrer-policy"], "same-origin", "else its form comes from nowhere");
    let wrong =
        fixture.browser().get(&format!("{ISSUER}/authorize")).await.expect("a response").page().expect("a page");
    cannot_be_misused(wrong.headers());
    assert_eq!(wrong.headers()["referrer-policy"], "no-referrer");
    let denied = browser.press(&consent, "decision", "deny").await.expect("a response").page().expect("a page");
    cannot_be_misused(denied.headers());
}

#[tokio::test(start_paused = true)]
async fn as_21_the_user_is_warned_where_any_program_can_take_the_answer() {
    let fixture = Fixture::new().await;
    let warned = async |client: &OAuthClient| {
        page(&mut fixture.browser(), client).await.text().contains("only if you started this sign-in")
    };
    assert!(warned(&fixture.client(APP, OAuthClient::REDIRECT_URI).await).await);
    assert!(warned(&fixture.client(CURSOR, CURSOR_URI).await).await);
    assert!(!warned(&fixture.site().await).await);
}

#[tokio::test(start_paused = true)]
async fn as_23_the_host_of_the_redirect_uri_is_displayed() {
    let fixture = Fixture::new().await;
    for (client, shown) in [
        (fixture.site().await, "<strong>client.example.test</strong>"),
        (fixture.registered().await, "<strong>registered.example.test</strong>"),
        (fixture.client(DOCUMENT, DOCUMENT_URI).await, "<strong>app.vendor.example.test</strong>"),
        (fixture.client(APP, OAuthClient::REDIRECT_URI).await, "<strong>127.0.0.1</strong>"),
        (fixture.client(CURSOR, CURSOR_URI).await, "<strong>cursor:</strong>"),
    ] {
        assert!(page(&mut fixture.browser(), &client).await.text().contains(shown), "{shown}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_page_names_the_party_that_vouches_for_the_client() {
    let fixture = Fixture::new().await;
    let text = async |client: &OAuthClient| page(&mut fixture.browser(), client).await.text();
    assert!(text(&fixture.site().await).await.contains("registered by the operator of this server"));
    assert!(text(&fixture.registered().await).await.contains("Its name is not verified"));
    let documented = text(&fixture.client(DOCUMENT, DOCUMENT_URI).await).await;
    assert!(documented.contains("published by <strong>vendor.example.test</strong>"));
}

#[tokio::test(start_paused = true)]
async fn untrusted_client_metadata_is_rendered_as_text_only() {
    let fixture = Fixture::new().await;
    let mut client = fixture.client("", REGISTERED_URI).await;
    let mut registration = client.registration();
    registration["client_name"] = json!("</title><script>alert(1)</script>\"><b>\u{202e}Good\u{200b}Co");
    client.register(&registration).await.expect("registered");
    let text = page(&mut fixture.browser(), &client).await.text();
    assert!(!text.contains("<script") && !text.contains("<b>") && !text.contains(['\u{202e}', '\u{200b}']), "{text}");
    registration["client_name"] = json!("x".repeat(200));
    client.register(&registration).await.expect("registered");
    let text = page(&mut fixture.browser(), &client).await.text();
    assert!(text.contains(&"x".repeat(80)) && !text.contains(&"x".repeat(81)));
}

#[tokio::test(start_paused = true)]
async fn ab_02_a_form_of_another_site_is_refused() {
    let fixture = Fixture::new().await;
    let mut victim = fixture.browser();
    let consent = page(&mut victim, &fixture.site().await).await;
    let own = consent.press("decision", "approve").expect("a form");

    // The attacker's form is sent by the victim's browser.
    let attackers_page = page(&mut fixture.browser(), &fixture.registered().await).await;
    let attackers_page = attackers_page.press("decision", "approve").expect("a form");
    let sealed = attackers_page.field("request").expect("sealed").to_owned();
    let forged = Submission::post("https://evil.example.test/", CONSENT);
    let forged = forged.with_field("request", &sealed).with_field("decision", "approve");
    refused(victim.submit(forged.clone()).await.expect("a response"), StatusCode::FORBIDDEN);
    // Also with this origin, and from an old browser without an `Origin` header.
    for origin in [ISSUER, ""] {
        let site = if origin.is_empty() { "" } else { "same-origin" };
        let forged = own.clone().with_field("request", &sealed).with_header("origin", origin);
        let arrival = victim.submit(forged.with_header("sec-fetch-site", site)).await.expect("a response");
        refused(arrival, StatusCode::BAD_REQUEST);
    }
    for (header, value) in [
        ("origin", "null"),
        ("origin", "https://evil.example.test"),
        ("origin", "http://mcp.example.test"),
        ("origin", "https://mcp.example.test.evil.example.test"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("sec-fetch-site", "none"),
    ] {
        let sent = victim.submit(own.clone().with_header(header, value)).await.expect("a response");
        refused(sent, StatusCode::FORBIDDEN);
    }
    assert_eq!(fixture.idp.calls(Endpoint::Authorization), 0);
    let sent = victim.submit(own).await.expect("a response").page().expect("a page");
    assert_eq!(sent.url().host_str(), Some("idp.other.test"), "the very form works");
}

#[tokio::test(start_paused = true)]
async fn a_foreign_consent_form_is_rejected() {
    let fixture = Fixture::new().await;
    let mut browser = fixture.browser();
    let consent = page(&mut browser, &fixture.site().await).await;
    let own = consent.press("decision", "approve").expect("a form");
    let sealed = own.field("request").expect("sealed");
    let flipped = format!("{}{}", &sealed[..sealed.len() - 2], if sealed.ends_with("AA") { "BB" } else { "AA" });
    for form in [
        own.clone().with_field("request", &flipped),
        own.clone().with_field("request", "e30"),
        own.clone().without_field("request"),
        own.clone().without_field("decision"),
        own.clone().with_field("decision", "perhaps"),
        own.clone().with_another_field("decision", "deny"),
        own.clone().with_header("content-type", "text/plain"),
    ] {
        refused(browser.submit(form).await.expect("a response"), StatusCode::BAD_REQUEST);
    }
    let mut elsewhere = fixture.browser();
    refused(elsewhere.submit(own.clone()).await.expect("a response"), StatusCode::BAD_REQUEST);
    let mut browser = fixture.browser();
    let page = refused(browser.submit(own).await.expect("a response"), StatusCode::BAD_REQUEST);
    let again = format!("{ISSUER}{}", page.links()[0]);
    assert!(asks_for_consent(&browser.get(&again).await.expect("a response").page().expect("a page")));
    assert_eq!(fixture.idp.calls(Endpoint::Authorization), 0);
}

#[tokio::test(start_paused = true)]
async fn an_expired_consent_page_is_restarted() {
    let fixture = Fixture::new().await;
    let mut browser = fixture.browser();
    let client = fixture.site().await;
    let request = client.authorization().expect("a request").with("scope", "mcp:read");
    let consent = browser.get(&request.url()).await.expect("a response").page().expect("a page");
    fixture.clock.advance(Duration::from_mins(10));
    let late =
        refused(browser.press(&consent, "decision", "approve").await.expect("a response"), StatusCode::BAD_REQUEST);
    let again = format!("{ISSUER}{}", late.links()[0]);
    let left = browser.log_in(&again, "alice").await.expect("a response").left().expect("left");
    let code = request.code(&left).expect("for the very same request");
    assert_eq!(client.redeem(&request, &code).await.expect("tokens").text("scope"), "mcp:read");
}

#[tokio::test(start_paused = true)]
async fn a_denial_is_reported_to_the_client() {
    let fixture = Fixture::new().await;
    for (client, is_sent) in [
        (fixture.site().await, true),
        (fixture.client(APP, OAuthClient::REDIRECT_URI).await, true),
        (fixture.client(CURSOR, CURSOR_URI).await, true),
        (fixture.registered().await, false),
    ] {
        let mut browser = fixture.browser();
        let request = client.authorization().expect("a request");
        let consent = browser.get(&request.url()).await.expect("a response").page().expect("a page");
        let url = match browser.press(&consent, "decision", "deny").await.expect("a response") {
            Arrival::Left(url) if is_sent => url,
            // A denial does not redirect to a client that the operator does not trust.
            Arrival::Page(page) if !is_sent => page.links()[0].parse().expect("a URL"),
            other => panic!("{other:?}"),
        };
        assert!(url.as_str().starts_with(client.redirect_uri()));
        assert_eq!(parameter(&url, "error").as_deref(), Some("access_denied"));
        assert_eq!(parameter(&url, "state").as_deref(), Some(request.state()));
        assert_eq!(parameter(&url, "iss").as_deref(), Some(ISSUER));
    }
    assert_eq!(fixture.idp.calls(Endpoint::Authorization), 0);
}

#[tokio::test(start_paused = true)]
async fn ab_01_a_user_is_redirected_to_the_provider_only_after_allowing_the_client() {
    let fixture = Fixture::new().await;
    // A user with a session at the provider sees no login page.
    fixture.idp.set_login_policy(LoginPolicy::new().with_auto_login("alice"));
    let mut browser = fixture.browser();
    let consent = page(&mut browser, &fixture.registered().await).await;
    assert!(asks_for_consent(&consent));
    assert_eq!(fixture.idp.calls(Endpoint::Authorization), 0);
    browser.press(&consent, "decision", "approve").await.expect("a response").left().expect("a code");
    assert_eq!(fixture.idp.calls(Endpoint::Authorization), 1);
}

#[tokio::test(start_paused = true)]
async fn as_26_each_client_is_consented_to_on_its_own() {
    let fixture = Fixture::new().await;
    fixture.idp.set_login_policy(LoginPolicy::new().with_auto_login("alice"));
    let mut browser = fixture.browser();
    for client in [fixture.site().await, fixture.registered().await, fixture.client(DOCUMENT, DOCUMENT_URI).await] {
        assert!(asks_for_consent(&page(&mut browser, &client).await), "first time");
        browser.log_in(&client.authorization().expect("a request").url(), "alice").await.expect("a response");
        let request = client.authorization().expect("a request");
        let again = browser.get(&request.url()).await.expect("a response").left().expect("remembered");
        assert!(request.code(&again).is_ok());
    }
    // Another browser may belong to another user.
    assert!(asks_for_consent(&page(&mut fixture.browser(), &fixture.site().await).await));
}

/// Returns a browser with alice's consent for `client`.
async fn allowed(fixture: &Fixture, client: &OAuthClient) -> Browser {
    fixture.idp.set_login_policy(LoginPolicy::new().with_auto_login("alice"));
    let mut browser = fixture.browser();
    client.log_in(&mut browser, "alice").await.expect("tokens");
    browser
}

#[tokio::test(start_paused = true)]
async fn ab_01_a_consent_covers_what_was_shown_and_no_more() {
    let fixture = Fixture::new().await;
    let client = fixture.site().await.with_scope("mcp:read");
    let mut browser = allowed(&fixture, &client).await;
    let request = || client.authorization().expect("a request");
    for (more, what) in [
        (request().with("scope", "mcp:read mcp:write"), "another scope"),
        (request().with("resource", crate::fixture::OTHER_RESOURCE), "another resource"),
        (request().with("prompt", "consent"), "the client wants it"),
    ] {
        let arrival = browser.clone().get(&more.url()).await.expect("a response");
        assert!(asks_for_consent(&arrival.page().expect(what)), "{what}");
    }
    assert!(browser.get(&request().url()).await.expect("a response").left().is_ok());
    fixture.clock.advance(Duration::from_hours(30 * 24));
    assert!(asks_for_consent(&page(&mut browser, &client).await), "it is not remembered for ever");
}

#[tokio::test(start_paused = true)]
async fn ab_01_a_consent_lasts_from_the_page_on_however_often_it_is_used() {
    let fixture = Fixture::new().await;
    let client = fixture.site().await;
    let mut browser = allowed(&fixture, &client).await;
    for _ in 0..2 {
        fixture.clock.advance(Duration::from_hours(14 * 24));
        let request = client.authorization().expect("a request");
        assert!(browser.get(&request.url()).await.expect("a response").left().is_ok(), "no consent page");
    }
    fixture.clock.advance(Duration::from_hours(2 * 24));
    assert!(asks_for_consent(&page(&mut browser, &client).await), "30 days after the page");
}

#[tokio::test(start_paused = true)]
async fn a_login_with_fewer_scopes_does_not_narrow_a_consent() {
    let fixture = Fixture::new().await;
    let client = fixture.site().await;
    let mut browser = allowed(&fixture, &client).await;
    for scopes in ["mcp:read", "mcp:read mcp:write"] {
        let request = client.authorization().expect("a request").with("scope", scopes);
        assert!(browser.get(&request.url()).await.expect("a response").left().is_ok(), "{scopes}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_buttons_are_disabled_until_the_page_was_shown() {
    let fixture = Fixture::new().await;
    let text = page(&mut fixture.browser(), &fixture.site().await).await.text();
    // The behaviour of browsers is tested with a browser.
    for rule in ["animation: late 0.7s step-end", ":root:hover .choices", "from { visibility: hidden; }"] {
        assert!(text.contains(rule), "{rule}");
    }
}

#[tokio::test(start_paused = true)]
async fn changed_client_metadata_requires_new_consent() {
    let fixture = Fixture::with(|config| config.with_login_ttl(Duration::from_hours(48))).await;
    let client = fixture.client(DOCUMENT, DOCUMENT_URI).await;
    let mut browser = allowed(&fixture, &client).await;
    let request = client.authorization().expect("a request").with("prompt", "consent");
    let shown = browser.get(&request.url()).await.expect("a response").page().expect("a page");

    fixture.document.lock().expect("not poisoned")["client_name"] = json!("Your bank");
    fixture.clock.advance(Duration::from_hours(25));
    let approved = browser.press(&shown, "decision", "approve").await.expect("a response");
    let changed = refused(approved, StatusCode::BAD_REQUEST);
    assert!(changed.text().contains("has changed"), "the page that is still open is not the one to answer");
    let asked = page(&mut browser, &client).await;
    assert!(asks_for_consent(&asked) && asked.text().contains("Your bank"));
}

#[tokio::test(start_paused = true)]
async fn consent_for_a_loopback_client_is_requested_every_time() {
    let fixture = Fixture::new().await;
    for client in [fixture.client(APP, OAuthClient::REDIRECT_URI).await, fixture.client(CURSOR, CURSOR_URI).await] {
        let mut browser = allowed(&fixture, &client).await;
        assert!(asks_for_consent(&page(&mut browser, &client).await));
    }
    let fixture = Fixture::with(|config| config.with_consent_ttl(Duration::ZERO)).await;
    let mut browser = allowed(&fixture, &fixture.site().await).await;
    assert!(asks_for_consent(&page(&mut browser, &fixture.site().await).await), "if nothing is to be remembered");
}

#[tokio::test(start_paused = true)]
async fn ab_03_the_cookie_of_the_browser_is_this_hosts_alone_and_says_nothing() {
    let fixture = Fixture::new().await;
    let mut browser = fixture.browser();
    let consent = page(&mut browser, &fixture.site().await).await;
    let set: Vec<_> = consent.headers().get_all(header::SET_COOKIE).iter().collect();
    let [cookie] = &*set else { panic!("one: {set:?}") };
    let cookie = cookie.to_str().expect("text").to_owned();
    let (pair, attributes) = cookie.split_once("; ").expect("attributes");
    assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=2592000");
    let (name, value) = pair.split_once('=').expect("a pair");
    assert_eq!((name, value.len()), ("__Host-portcullis-browser", 43));
    // The consent is stored at the bridge, for one client; the cookie is only a reference.
    let again = page(&mut browser, &fixture.registered().await).await;
    let again = again.headers()[header::SET_COOKIE].to_str().expect("text");
    assert_eq!(again, cookie, "it is the same for every client, and kept alive");
}

#[tokio::test(start_paused = true)]
async fn a_bridge_on_loopback_may_use_plain_http() {
    let loopback = "http://127.0.0.1:8000";
    let config = BridgeConfig::new(loopback.parse().expect("an issuer"), RESOURCE.parse().expect("a resource"));
    let uri = RedirectUri::new(OAuthClient::REDIRECT_URI).expect("a redirect URI");
    let config = config.with_client(Client::public(SITE, "A site", vec![uri])).expect("a client");
    let fixture = Fixture::of(config).await;
    let client = OAuthClient::discover(&fixture.network, loopback).await.expect("metadata").with_client_id(SITE);
    let mut browser = fixture.browser();
    let tokens = client.log_in(&mut browser, "alice").await.expect("tokens");
    assert!(tokens.status().is_success());
    assert!(browser.cookies().iter().any(|cookie| cookie.name() == "portcullis-browser"));
}
