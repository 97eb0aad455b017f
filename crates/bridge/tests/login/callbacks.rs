//! The callback: accepted once, in the browser that began the login, for that login only.

use std::time::Duration;

use http::{StatusCode, header};
use portcullis_test_support::{Arrival, Authorization, Browser, LoginPolicy, OAuthClient, Page, Submission};
use url::Url;

use crate::fixture::{Fixture, ISSUER, parameter};

const CALLBACK: &str = "https://mcp.example.test/callback";

/// Returns the provider's login page, after consent.
async fn at_provider(browser: &mut Browser, request: &Authorization) -> Page {
    let consent = browser.get(&request.url()).await.expect("a response").page().expect("a page");
    let page = browser.press(&consent, "decision", "approve").await.expect("a response").page().expect("a page");
    assert_eq!(page.url().host_str(), Some("idp.other.test"));
    page
}

/// Returns the provider's response for `user`, before the browser follows it.
async fn provider_answer(browser: &mut Browser, page: &Page, user: &str) -> Url {
    let mut held = browser.clone().with_stop_at(CALLBACK);
    held.press(page, "user", user).await.expect("a response").left().expect("an answer of the provider")
}

#[track_caller]
fn refused(arrival: Arrival) {
    let page = arrival.page().expect("a page");
    assert_eq!(page.status(), StatusCode::BAD_REQUEST, "{}", page.text());
    assert!(page.text().contains("in this browser"), "{}", page.text());
    assert!(!page.headers().contains_key(header::LOCATION) && page.links().is_empty());
}

async fn bring(browser: &mut Browser, answer: &Url) -> Arrival {
    browser.submit(Submission::get("https://idp.other.test/", answer.as_str())).await.expect("a response")
}

fn login_cookies(browser: &Browser) -> Vec<String> {
    let names = browser.cookies().into_iter().map(|cookie| cookie.name().to_owned());
    names.filter(|name| name.contains("-login-")).collect()
}

#[tokio::test(start_paused = true)]
async fn ab_05_the_browser_is_marked_after_consent_and_not_before() {
    let fixture = Fixture::new().await;
    let mut browser = fixture.browser();
    let request = fixture.site().await.authorization().expect("a request");
    let consent = browser.get(&request.url()).await.expect("a response").page().expect("a page");
    assert_eq!(login_cookies(&browser), [""; 0]);
    let mut sent = browser.clone().with_stop_at("https://idp.other.test/");
    sent.press(&consent, "decision", "approve").await.expect("a response").left().expect("to the provider");
    let [name] = &*login_cookies(&sent) else { panic!("one") };
    assert!(name.starts_with("__Host-"), "{name}");
}

#[tokio::test(start_paused = true)]
async fn ab_05_the_state_is_random_and_of_the_bridge_itself() {
    let fixture = Fixture::new().await;
    let request = fixture.site().await.authorization().expect("a request");
    let mut states = Vec::new();
    for _ in 0..2 {
        // The same request twice.
        let page = at_provider(&mut fixture.browser(), &request).await;
        let state = parameter(page.url(), "state").expect("a state");
        assert_eq!(state.len(), 43, "256 bits");
        assert_ne!(state, request.state());
        states.push(state);
        for (ours, theirs) in [("code_challenge", "code_challenge"), ("nonce", "state")] {
            let sent = parameter(page.url(), ours).expect(ours);
            assert!(!request.url().contains(&sent), "{ours} has nothing to do with the client's {theirs}");
        }
    }
    assert_ne!(states[0], states[1]);
}

#[tokio::test(start_paused = true)]
async fn ab_05_an_answer_of_the_provider_is_good_once() {
    let fixture = Fixture::new().await;
    let mut browser = fixture.browser();
    let client = fixture.site().await;
    let request = client.authorization().expect("a request");
    let page = at_provider(&mut browser, &request).await;
    let answer = provider_answer(&mut browser, &page, "alice").await;
    let mut copy = browser.clone();
    let left = bring(&mut browser, &answer).await.left().expect("a code");
    assert!(login_cookies(&browser).is_empty(), "and the browser forgets it");
    refused(bring(&mut browser, &answer).await);
    refused(bring(&mut copy, &answer).await);
    let tokens = client.redeem(&request, &request.code(&left).expect("a code")).await.expect("tokens");
    assert!(tokens.status().is_success(), "the first response remains valid");
}

#[tokio::test(start_paused = true)]
async fn ab_05_of_many_at_once_one_logs_in() {
    let fixture = Fixture::new().await;
    let mut browser = fixture.browser();
    let request = fixture.site().await.authorization().expect("a request");
    let page = at_provider(&mut browser, &request).await;
    let answer = provider_answer(&mut browser, &page, "alice").await;
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let (mut browser, answer) = (browser.clone(), answer.clone());
            tokio::spawn(async move { bring(&mut browser, &answer).await.left().is_ok() })
        })
        .collect();
    let mut logged_in = 0;
    for task in tasks {
        logged_in += usize::from(task.await.expect("no panic"));
    }
    assert_eq!(logged_in, 1);
}

#[tokio::test(start_paused = true)]
async fn ab_05_an_answer_that_took_too_long_is_refused() {
    let fixture = Fixture::new().await;
    let mut browser = fixture.browser();
    let page = at_provider(&mut browser, &fixture.site().await.authorization().expect("a request")).await;
    let answer = provider_answer(&mut browser, &page, "alice").await;
    fixture.clock.advance(Duration::from_mins(10));
    refused(bring(&mut browser, &answer).await);
}

#[tokio::test(start_paused = true)]
async fn ab_05_a_stolen_answer_logs_no_other_browser_in_and_does_not_spoil_the_login() {
    let fixture = Fixture::new().await;
    let (mut victim, mut attacker) = (fixture.browser(), fixture.browser());
    let client = fixture.site().await;
    let request = client.authorization().expect("a request");
    let page = at_provider(&mut victim, &request).await;
    let answer = provider_answer(&mut victim, &page, "alice").await;
    // The attacker has a pending login as well.
    at_provider(&mut attacker, &client.authorization().expect("a request")).await;
    refused(bring(&mut attacker, &answer).await);
    refused(bring(&mut fixture.browser(), &answer).await);
    // A cookie of another login under the name of this one.
    let name = login_cookies(&victim).pop().expect("a cookie");
    let own = attacker.cookies().into_iter().find(|cookie| cookie.name().contains("-login-")).expect("a cookie");
    assert!(attacker.set_cookie(ISSUER, &format!("{name}={}; Path=/; Secure", own.value())));
    refused(bring(&mut attacker, &answer).await);

    let left = bring(&mut victim, &answer).await.left().expect("the victim goes on");
    let tokens = client.redeem(&request, &request.code(&left).expect("a code")).await.expect("tokens");
    assert_eq!(fixture.verify(tokens.access_token()).await.expect("a user").subject(), "alice");
}

#[tokio::test(start_paused = true)]
async fn ab_05_a_victim_is_not_logged_in_as_the_attacker() {
    let fixture = Fixture::new().await;
    let (mut victim, mut attacker) = (fixture.browser(), fixture.browser());
    let request = fixture.site().await.authorization().expect("a request");
    let page = at_provider(&mut attacker, &request).await;
    let answer = provider_answer(&mut attacker, &page, "mallory").await;
    let lure = Submission::get("https://evil.example.test/", answer.as_str());
    refused(victim.submit(lure).await.expect("a response"));
    // The victim does not complete the attacker's login either: it belongs to the browser that began it.
    let answer = {
        let page = at_provider(&mut attacker, &request).await;
        provider_answer(&mut victim, &page, "alice").await
    };
    refused(bring(&mut victim, &answer).await);
}

#[tokio::test(start_paused = true)]
async fn two_users_of_one_client_are_independent() {
    let fixture = Fixture::new().await;
    let client = fixture.site().await;
    let (mut first, mut second) = (fixture.browser(), fixture.browser());
    // Both clients use the same `state`.
    let requests = [(); 2].map(|()| client.authorization().expect("a request").with("state", "the same"));
    let pages = [at_provider(&mut first, &requests[0]).await, at_provider(&mut second, &requests[1]).await];
    let answers =
        [provider_answer(&mut first, &pages[0], "alice").await, provider_answer(&mut second, &pages[1], "bob").await];
    refused(bring(&mut first, &answers[1]).await);
    refused(bring(&mut second, &answers[0]).await);
    for (browser, answer, request, user) in
        [(&mut second, &answers[1], &requests[1], "bob"), (&mut first, &answers[0], &requests[0], "alice")]
    {
        let left = bring(browser, answer).await.left().expect("a code");
        let code = parameter(&left, "code").expect("a code");
        let tokens = client.redeem(request, &code).await.expect("tokens");
        assert_eq!(fixture.verify(tokens.access_token()).await.expect("a user").subject(), user);
    }
}

#[tokio::test(start_paused = true)]
async fn logins_in_several_tabs_are_independent() {
    let fixture = Fixture::new().await;
    let mut browser = fixture.browser();
    let client = fixture.site().await;
    let mut tabs = Vec::new();
    for _ in 0..3 {
        let request = client.authorization().expect("a request");
        let page = at_provider(&mut browser, &request).await;
        tabs.push((provider_answer(&mut browser, &page, "alice").await, request));
    }
    assert_eq!(login_cookies(&browser).len(), 3);
    for (answer, request) in tabs.into_iter().rev() {
        let left = bring(&mut browser, &answer).await.left().expect("a code");
        assert!(request.code(&left).is_ok());
    }
    for _ in 0..20 {
        let request = client.authorization().expect("a request").with("prompt", "consent");
        at_provider(&mut browser, &request).await;
    }
    assert_eq!(login_cookies(&browser).len(), 8, "what was given up makes room");
}

#[tokio::test(start_paused = true)]
async fn an_invalid_callback_is_not_redirected() {
    let fixture = Fixture::new().await;
    let mut browser = fixture.browser();
    let page = at_provider(&mut browser, &fixture.site().await.authorization().expect("a request")).await;
    let answer = provider_answer(&mut browser, &page, "alice").await;
    let state = parameter(&answer, "state").expect("a state");
    for query in [
        "".to_owned(),
        "code=c".to_owned(),
        format!("state={state}"),
        format!("state={state}&state={state}&code=c"),
        format!("state={state}&code=c&code=d"),
        format!("state={state}&code=c&error=access_denied"),
        format!("state={state}&code={}", "c".repeat(16 * 1024)),
        "state=none&code=c".to_owned(),
    ] {
        let page = browser.get(&format!("{CALLBACK}?{query}")).await.expect("a response").page().expect("a page");
        assert_eq!(page.status(), StatusCode::BAD_REQUEST, "{query}");
    }
    assert!(bring(&mut browser, &answer).await.left().is_ok(), "and nothing was spoiled");
}

#[tokio::test(start_paused = true)]
async fn as_05_every_answer_names_its_issuer() {
    let fixture = Fixture::new().await;
    fixture.idp.set_login_policy(LoginPolicy::new().with_denial("access_denied"));
    for (client, uri) in
        [(crate::fixture::SITE, crate::fixture::SITE_URI), (crate::fixture::CURSOR, crate::fixture::CURSOR_URI)]
    {
        let client = fixture.client(client, uri).await;
        let request = client.authorization().expect("a request");
        fixture.idp.set_login_policy(LoginPolicy::new().with_denial("access_denied"));
        let failed = fixture.browser().log_in(&request.url(), "alice").await.expect("a response").left().expect("left");
        fixture.idp.set_login_policy(LoginPolicy::new().with_auto_login("alice"));
        let done = fixture.browser().log_in(&request.url(), "alice").await.expect("a response").left().expect("left");
        assert_eq!(parameter(&failed, "error").as_deref(), Some("access_denied"));
        for left in [failed, done] {
            assert_eq!(parameter(&left, "iss").as_deref(), Some(ISSUER));
            assert_eq!(parameter(&left, "state").as_deref(), Some(request.state()));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn as_06_the_metadata_says_so_and_names_the_same_issuer() {
    let fixture = Fixture::new().await;
    let client = OAuthClient::discover(&fixture.network, ISSUER).await.expect("metadata");
    assert_eq!(client.metadata()["authorization_response_iss_parameter_supported"], true);
    assert_eq!(client.metadata()["issuer"], ISSUER);
}
