//! Restarts during a login, and the limit of pending logins.

use http::StatusCode;
use portcullis_bridge::collections;
use portcullis_store::Store as _;
use portcullis_test_support::{Authorization, Browser, LoginPolicy, OAuthClient, Page};

use crate::fixture::{APP, DOCUMENT, DOCUMENT_URI, Fixture};

#[tokio::test(start_paused = true)]
async fn a_login_survives_a_restart_between_any_two_steps() {
    let mut fixture = Fixture::new().await;
    let mut browser = fixture.browser();
    let mut client = fixture.registered().await;
    fixture.restart();
    let request = client.authorization().expect("a request");
    let consent = browser.get(&request.url()).await.expect("a response").page().expect("a page");
    fixture.restart();
    let login = browser.press(&consent, "decision", "approve").await.expect("a response").page().expect("a page");
    fixture.restart();
    let left = browser.press(&login, "user", "alice").await.expect("a response").left().expect("a code");
    fixture.restart();
    let tokens = client.redeem(&request, &request.code(&left).expect("a code")).await.expect("tokens");
    fixture.restart();
    let user = fixture.verify(tokens.access_token()).await.expect("a user");
    assert_eq!(user.subject(), "alice");
    fixture.restart();
    assert!(user.upstream().access_token().await.is_ok());
    let user = fixture.verify(tokens.access_token()).await.expect("a user");
    assert!(user.upstream().access_token().await.is_ok(), "the grant at the provider is there");
    let refreshed = client.refresh(tokens.refresh_token()).await.expect("tokens");
    assert!(fixture.verify(refreshed.access_token()).await.is_ok());
    fixture.restart();
    fixture.idp.set_login_policy(LoginPolicy::new().with_auto_login("alice"));
    let again = browser.get(&client.authorization().expect("a request").url()).await.expect("a response");
    assert!(again.left().is_ok(), "the consent is remembered");
    client = client.with_scope("mcp:read");
    assert!(browser.get(&client.authorization().expect("a request").url()).await.expect("a response").left().is_ok());
}

/// Begins a login that is never completed. Returns the page.
async fn abandoned(browser: &mut Browser, request: &Authorization) -> Page {
    let consent = browser.get(&request.url()).await.expect("a response").page().expect("a page");
    browser.press(&consent, "decision", "approve").await.expect("a response").page().expect("a page")
}

#[tokio::test(start_paused = true)]
async fn where_no_address_is_known_pending_logins_of_a_busy_client_displace_its_own() {
    let fixture = Fixture::with(|config| config.with_max_pending_logins(20)).await;
    let quiet = fixture.client(APP, OAuthClient::REDIRECT_URI).await;
    let request = quiet.authorization().expect("a request");
    let mut user = fixture.browser();
    let login = abandoned(&mut user, &request).await;
    let busy = fixture.site().await;
    let (mut first, first_request) = (fixture.browser(), busy.authorization().expect("a request"));
    let displaced = abandoned(&mut first, &first_request).await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    for _ in 0..60 {
        let page = abandoned(&mut fixture.browser(), &busy.authorization().expect("a request")).await;
        assert_eq!(page.status(), StatusCode::OK);
        assert!(fixture.store.count(collections::LOGINS).await.expect("memory") <= 20);
    }
    let page = first.press(&displaced, "user", "bob").await.expect("a response").page().expect("a page");
    assert_eq!(page.status(), StatusCode::BAD_REQUEST, "the oldest of the busy one");
    let left = user.press(&login, "user", "alice").await.expect("a response").left().expect("a callback");
    assert!(request.code(&left).is_ok(), "older than all of them");
}

#[tokio::test(start_paused = true)]
async fn a_completed_login_makes_room() {
    let fixture = Fixture::with(|config| config.with_max_pending_logins(1)).await;
    let client = fixture.client(DOCUMENT, DOCUMENT_URI).await;
    for _ in 0..5 {
        client.log_in(&mut fixture.browser(), "alice").await.expect("tokens");
    }
}
