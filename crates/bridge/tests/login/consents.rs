//! The consent page: what it says, who may answer it, and for how long an answer holds.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use portcullis_bridge::{BridgeConfig, Client, RedirectUri};
use portcullis_test_support::{Arrival, Browser, Endpoint, LoginPolicy, OAuthClient, Page, Submission};
use serde_json::json;

use crate::world::{
    APP, CURSOR, CURSOR_URI, DOCUMENT, DOCUMENT_URI, ISSUER, RESOURCE, SITE, STRANGER_URI, World, parameter,
};

const CONSENT: &str = "https://mcp.example.test/consent";

/// The consent page of a client.
async fn page(browser: &mut Browser, client: &OAuthClient) -> Page {
    let request = client.authorization().expect("a request");
    browser.get(&request.url()).await.expect("an answer").page().expect("a page")
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
fn cannot_be_misused(headers: &HeaderMap) {
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
    let world = World::new().await;
    let client = world.site().await.with_scope("mcp:read");
    let page = page(&mut world.browser(), &client).await;
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
    let world = World::new().await;
    let mut browser = world.browser();
    let client = world.stranger().await;
    let consent = page(&mut browser, &client).await;
    cannot_be_misused(consent.headers());
    assert_eq!(consent.headers()["referrer-policy"], "same-origin", "else its form comes from nowhere");
    let wrong = world.browser().get(&format!("{ISSUER}/authorize")).await.expect("an answer").page().expect("a page");
    cannot_be_misused(wrong.headers());
    assert_eq!(wrong.headers()["referrer-policy"], "no-referrer");
    let denied = browser.press(&consent, "decision", "deny").await.expect("an answer").page().expect("a page");
    cannot_be_misused(denied.headers());
}

#[tokio::test(start_paused = true)]
async fn as_21_the_user_is_warned_where_any_program_can_take_the_answer() {
    let world = World::new().await;
    let warned = async |client: &OAuthClient| {
        page(&mut world.browser(), client).await.text().contains("only if you started this sign-in")
    };
    assert!(warned(&world.client(APP, OAuthClient::REDIRECT_URI).await).await);
    assert!(warned(&world.client(CURSOR, CURSOR_URI).await).await);
    assert!(!warned(&world.site().await).await);
}

#[tokio::test(start_paused = true)]
async fn as_23_the_host_of_the_redirect_uri_is_displayed() {
    let world = World::new().await;
    for (client, shown) in [
        (world.site().await, "<strong>client.example.test</strong>"),
        (world.stranger().await, "<strong>stranger.example.test</strong>"),
        (world.client(DOCUMENT, DOCUMENT_URI).await, "<strong>app.vendor.example.test</strong>"),
        (world.client(APP, OAuthClient::REDIRECT_URI).await, "<strong>127.0.0.1</strong>"),
        (world.client(CURSOR, CURSOR_URI).await, "<strong>cursor:</strong>"),
    ] {
        assert!(page(&mut world.browser(), &client).await.text().contains(shown), "{shown}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_vouches_for_a_client_is_said() {
    let world = World::new().await;
    let text = async |client: &OAuthClient| page(&mut world.browser(), client).await.text();
    assert!(text(&world.site().await).await.contains("registered by the operator of this server"));
    assert!(text(&world.stranger().await).await.contains("Its name is not verified"));
    let documented = text(&world.client(DOCUMENT, DOCUMENT_URI).await).await;
    assert!(documented.contains("published by <strong>vendor.example.test</strong>"));
}

#[tokio::test(start_paused = true)]
async fn untrusted_client_metadata_is_rendered_as_text_only() {
    let world = World::new().await;
    let mut client = world.client("", STRANGER_URI).await;
    let mut registration = client.registration();
    registration["client_name"] = json!("</title><script>alert(1)</script>\"><b>\u{202e}Good\u{200b}Co");
    client.register(&registration).await.expect("registered");
    let text = page(&mut world.browser(), &client).await.text();
    assert!(!text.contains("<script") && !text.contains("<b>") && !text.contains(['\u{202e}', '\u{200b}']), "{text}");
    registration["client_name"] = json!("x".repeat(200));
    client.register(&registration).await.expect("registered");
    let text = page(&mut world.browser(), &client).await.text();
    assert!(text.contains(&"x".repeat(80)) && !text.contains(&"x".repeat(81)));
}

#[tokio::test(start_paused = true)]
async fn ab_02_a_form_of_another_site_is_refused() {
    let world = World::new().await;
    let mut victim = world.browser();
    let consent = page(&mut victim, &world.site().await).await;
    let own = consent.press("decision", "approve").expect("a form");

    // The thief has a form of their own, and the victim's browser sends it.
    let thiefs = page(&mut world.browser(), &world.stranger().await).await;
    let thiefs = thiefs.press("decision", "approve").expect("a form");
    let sealed = thiefs.field("request").expect("sealed").to_owned();
    let forged = Submission::post("https://evil.example.test/", CONSENT);
    let forged = forged.with_field("request", &sealed).with_field("decision", "approve");
    refused(victim.submit(forged.clone()).await.expect("an answer"), StatusCode::FORBIDDEN);
    // Even if it seemed to come from here, and even from an old browser, which says nothing.
    for origin in [ISSUER, ""] {
        let site = if origin.is_empty() { "" } else { "same-origin" };
        let forged = own.clone().with_field("request", &sealed).with_header("origin", origin);
        let arrival = victim.submit(forged.with_header("sec-fetch-site", site)).await.expect("an answer");
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
        let sent = victim.submit(own.clone().with_header(header, value)).await.expect("an answer");
        refused(sent, StatusCode::FORBIDDEN);
    }
    assert_eq!(world.idp.calls(Endpoint::Authorization), 0);
    let sent = victim.submit(own).await.expect("an answer").page().expect("a page");
    assert_eq!(sent.url().host_str(), Some("idp.other.test"), "the very form works");
}

#[tokio::test(start_paused = true)]
async fn a_form_that_was_not_made_here_is_refused() {
    let world = World::new().await;
    let mut browser = world.browser();
    let consent = page(&mut browser, &world.site().await).await;
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
        refused(browser.submit(form).await.expect("an answer"), StatusCode::BAD_REQUEST);
    }
    let mut elsewhere = world.browser();
    refused(elsewhere.submit(own.clone()).await.expect("an answer"), StatusCode::BAD_REQUEST);
    let mut browser = world.browser();
    let page = refused(browser.submit(own).await.expect("an answer"), StatusCode::BAD_REQUEST);
    let again = format!("{ISSUER}{}", page.links()[0]);
    assert!(asks_for_consent(&browser.get(&again).await.expect("an answer").page().expect("a page")));
    assert_eq!(world.idp.calls(Endpoint::Authorization), 0);
}

#[tokio::test(start_paused = true)]
async fn a_page_that_was_open_for_too_long_is_begun_anew() {
    let world = World::new().await;
    let mut browser = world.browser();
    let client = world.site().await;
    let request = client.authorization().expect("a request").with("scope", "mcp:read");
    let consent = browser.get(&request.url()).await.expect("an answer").page().expect("a page");
    world.clock.advance(Duration::from_mins(10));
    let late =
        refused(browser.press(&consent, "decision", "approve").await.expect("an answer"), StatusCode::BAD_REQUEST);
    let again = format!("{ISSUER}{}", late.links()[0]);
    let left = browser.log_in(&again, "alice").await.expect("an answer").left().expect("left");
    let code = request.code(&left).expect("for the very same request");
    assert_eq!(client.redeem(&request, &code).await.expect("tokens").text("scope"), "mcp:read");
}

#[tokio::test(start_paused = true)]
async fn a_user_who_denies_goes_back_and_the_client_is_told() {
    let world = World::new().await;
    for (client, is_sent) in [
        (world.site().await, true),
        (world.client(APP, OAuthClient::REDIRECT_URI).await, true),
        (world.client(CURSOR, CURSOR_URI).await, true),
        (world.stranger().await, false),
    ] {
        let mut browser = world.browser();
        let request = client.authorization().expect("a request");
        let consent = browser.get(&request.url()).await.expect("an answer").page().expect("a page");
        let url = match browser.press(&consent, "decision", "deny").await.expect("an answer") {
            Arrival::Left(url) if is_sent => url,
            // Whoever refuses a stranger is not sent to its site.
            Arrival::Page(page) if !is_sent => page.links()[0].parse().expect("a URL"),
            other => panic!("{other:?}"),
        };
        assert!(url.as_str().starts_with(client.redirect_uri()));
        assert_eq!(parameter(&url, "error").as_deref(), Some("access_denied"));
        assert_eq!(parameter(&url, "state").as_deref(), Some(request.state()));
        assert_eq!(parameter(&url, "iss").as_deref(), Some(ISSUER));
    }
    assert_eq!(world.idp.calls(Endpoint::Authorization), 0);
}

#[tokio::test(start_paused = true)]
async fn ab_01_a_user_is_redirected_to_the_provider_only_after_allowing_the_client() {
    let world = World::new().await;
    // Who is logged in there sees no page.
    world.idp.set_login_policy(LoginPolicy::new().with_auto_login("alice"));
    let mut browser = world.browser();
    let consent = page(&mut browser, &world.stranger().await).await;
    assert!(asks_for_consent(&consent));
    assert_eq!(world.idp.calls(Endpoint::Authorization), 0);
    browser.press(&consent, "decision", "approve").await.expect("an answer").left().expect("a code");
    assert_eq!(world.idp.calls(Endpoint::Authorization), 1);
}

#[tokio::test(start_paused = true)]
async fn as_26_each_client_is_consented_to_on_its_own() {
    let world = World::new().await;
    world.idp.set_login_policy(LoginPolicy::new().with_auto_login("alice"));
    let mut browser = world.browser();
    for client in [world.site().await, world.stranger().await, world.client(DOCUMENT, DOCUMENT_URI).await] {
        assert!(asks_for_consent(&page(&mut browser, &client).await), "first time");
        browser.log_in(&client.authorization().expect("a request").url(), "alice").await.expect("an answer");
        let request = client.authorization().expect("a request");
        let again = browser.get(&request.url()).await.expect("an answer").left().expect("remembered");
        assert!(request.code(&again).is_ok());
    }
    // Another browser is another user, as far as anybody knows.
    assert!(asks_for_consent(&page(&mut world.browser(), &world.site().await).await));
}

/// A browser in which alice has allowed it to `client`.
async fn allowed(world: &World, client: &OAuthClient) -> Browser {
    world.idp.set_login_policy(LoginPolicy::new().with_auto_login("alice"));
    let mut browser = world.browser();
    client.log_in(&mut browser, "alice").await.expect("tokens");
    browser
}

#[tokio::test(start_paused = true)]
async fn ab_01_a_consent_covers_what_was_shown_and_no_more() {
    let world = World::new().await;
    let client = world.site().await.with_scope("mcp:read");
    let mut browser = allowed(&world, &client).await;
    let request = || client.authorization().expect("a request");
    for (more, what) in [
        (request().with("scope", "mcp:read mcp:write"), "another scope"),
        (request().with("resource", crate::world::OTHER_RESOURCE), "another resource"),
        (request().with("prompt", "consent"), "the client wants it"),
    ] {
        let arrival = browser.clone().get(&more.url()).await.expect("an answer");
        assert!(asks_for_consent(&arrival.page().expect(what)), "{what}");
    }
    assert!(browser.get(&request().url()).await.expect("an answer").left().is_ok());
    world.clock.advance(Duration::from_hours(30 * 24));
    assert!(asks_for_consent(&page(&mut browser, &client).await), "it is not remembered for ever");
}

#[tokio::test(start_paused = true)]
async fn ab_01_a_consent_lasts_from_the_page_on_however_often_it_is_used() {
    let world = World::new().await;
    let client = world.site().await;
    let mut browser = allowed(&world, &client).await;
    for _ in 0..2 {
        world.clock.advance(Duration::from_hours(14 * 24));
        let request = client.authorization().expect("a request");
        assert!(browser.get(&request.url()).await.expect("an answer").left().is_ok(), "nobody is asked");
    }
    world.clock.advance(Duration::from_hours(2 * 24));
    assert!(asks_for_consent(&page(&mut browser, &client).await), "30 days after the page");
}

#[tokio::test(start_paused = true)]
async fn a_login_for_less_does_not_make_a_consent_less() {
    let world = World::new().await;
    let client = world.site().await;
    let mut browser = allowed(&world, &client).await;
    for scopes in ["mcp:read", "mcp:read mcp:write"] {
        let request = client.authorization().expect("a request").with("scope", scopes);
        assert!(browser.get(&request.url()).await.expect("an answer").left().is_ok(), "{scopes}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_buttons_come_after_the_page_and_after_the_pointer() {
    let world = World::new().await;
    let text = page(&mut world.browser(), &world.site().await).await.text();
    // What a browser makes of it is tried with a browser.
    for rule in ["animation: late 0.7s step-end", ":root:hover .choices", "from { visibility: hidden; }"] {
        assert!(text.contains(rule), "{rule}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_changes_what_it_says_of_itself_is_consented_to_anew() {
    let world = World::with(|config| config.with_login_ttl(Duration::from_hours(48))).await;
    let client = world.client(DOCUMENT, DOCUMENT_URI).await;
    let mut browser = allowed(&world, &client).await;
    let request = client.authorization().expect("a request").with("prompt", "consent");
    let shown = browser.get(&request.url()).await.expect("an answer").page().expect("a page");

    world.document.lock().expect("not poisoned")["client_name"] = json!("Your bank");
    world.clock.advance(Duration::from_hours(25));
    let approved = browser.press(&shown, "decision", "approve").await.expect("an answer");
    let changed = refused(approved, StatusCode::BAD_REQUEST);
    assert!(changed.text().contains("has changed"), "the page that is still open is not the one to answer");
    let asked = page(&mut browser, &client).await;
    assert!(asks_for_consent(&asked) && asked.text().contains("Your bank"));
}

#[tokio::test(start_paused = true)]
async fn what_any_program_of_the_machine_could_use_is_asked_for_every_time() {
    let world = World::new().await;
    for client in [world.client(APP, OAuthClient::REDIRECT_URI).await, world.client(CURSOR, CURSOR_URI).await] {
        let mut browser = allowed(&world, &client).await;
        assert!(asks_for_consent(&page(&mut browser, &client).await));
    }
    let world = World::with(|config| config.with_consent_ttl(Duration::ZERO)).await;
    let mut browser = allowed(&world, &world.site().await).await;
    assert!(asks_for_consent(&page(&mut browser, &world.site().await).await), "if nothing is to be remembered");
}

#[tokio::test(start_paused = true)]
async fn ab_03_the_cookie_of_the_browser_is_this_hosts_alone_and_says_nothing() {
    let world = World::new().await;
    let mut browser = world.browser();
    let consent = page(&mut browser, &world.site().await).await;
    let set: Vec<_> = consent.headers().get_all(header::SET_COOKIE).iter().collect();
    let [cookie] = &*set else { panic!("one: {set:?}") };
    let cookie = cookie.to_str().expect("text").to_owned();
    let (pair, attributes) = cookie.split_once("; ").expect("attributes");
    assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=2592000");
    let (name, value) = pair.split_once('=').expect("a pair");
    assert_eq!((name, value.len()), ("__Host-portcullis-browser", 43));
    // What is remembered is remembered here, for one client: a copy of the cookie is all that there is to have.
    let again = page(&mut browser, &world.stranger().await).await;
    let again = again.headers()[header::SET_COOKIE].to_str().expect("text");
    assert_eq!(again, cookie, "it is the same for every client, and kept alive");
}

#[tokio::test(start_paused = true)]
async fn a_bridge_on_loopback_does_without_tls() {
    let loopback = "http://127.0.0.1:8000";
    let config = BridgeConfig::new(loopback.parse().expect("an issuer"), RESOURCE.parse().expect("a resource"));
    let uri = RedirectUri::new(OAuthClient::REDIRECT_URI).expect("a redirect URI");
    let config = config.with_client(Client::public(SITE, "A site", vec![uri])).expect("a client");
    let world = World::of(config).await;
    let client = OAuthClient::discover(&world.network, loopback).await.expect("metadata").with_client_id(SITE);
    let mut browser = world.browser();
    let tokens = client.log_in(&mut browser, "alice").await.expect("tokens");
    assert!(tokens.status().is_success());
    assert!(browser.cookies().iter().any(|cookie| cookie.name() == "portcullis-browser"));
}
