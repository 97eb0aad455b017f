//! A process that ends in the middle of a login, and one that is asked for too many of them.

use http::StatusCode;
use portcullis_bridge::collections;
use portcullis_store::Store as _;
use portcullis_test_support::{Authorization, Browser, LoginPolicy, OAuthClient, Page};

use crate::world::{APP, DOCUMENT, DOCUMENT_URI, World};

#[tokio::test(start_paused = true)]
async fn a_restart_between_any_two_steps_loses_nothing() {
    let mut world = World::new().await;
    let mut browser = world.browser();
    let mut client = world.stranger().await;
    world.restart();
    let request = client.authorization().expect("a request");
    let consent = browser.get(&request.url()).await.expect("an answer").page().expect("a page");
    world.restart();
    let login = browser.press(&consent, "decision", "approve").await.expect("an answer").page().expect("a page");
    world.restart();
    let left = browser.press(&login, "user", "alice").await.expect("an answer").left().expect("a code");
    world.restart();
    let tokens = client.redeem(&request, &request.code(&left).expect("a code")).await.expect("tokens");
    world.restart();
    let user = world.verify(tokens.access_token()).await.expect("a user");
    assert_eq!(user.subject(), "alice");
    world.restart();
    assert!(user.upstream().access_token().await.is_ok());
    let user = world.verify(tokens.access_token()).await.expect("a user");
    assert!(user.upstream().access_token().await.is_ok(), "the grant at the provider is there");
    let refreshed = client.refresh(tokens.refresh_token()).await.expect("tokens");
    assert!(world.verify(refreshed.access_token()).await.is_ok());
    world.restart();
    world.idp.set_login_policy(LoginPolicy::new().with_auto_login("alice"));
    let again = browser.get(&client.authorization().expect("a request").url()).await.expect("an answer");
    assert!(again.left().is_ok(), "the consent is remembered");
    client = client.with_scope("mcp:read");
    assert!(browser.get(&client.authorization().expect("a request").url()).await.expect("an answer").left().is_ok());
}

/// Sends somebody to the provider who never comes back. What they see.
async fn abandoned(browser: &mut Browser, request: &Authorization) -> Page {
    let consent = browser.get(&request.url()).await.expect("an answer").page().expect("a page");
    browser.press(&consent, "decision", "approve").await.expect("an answer").page().expect("a page")
}

#[tokio::test(start_paused = true)]
async fn where_no_address_is_known_pending_logins_of_a_busy_client_displace_its_own() {
    let world = World::with(|config| config.with_max_pending_logins(20)).await;
    let quiet = world.client(APP, OAuthClient::REDIRECT_URI).await;
    let request = quiet.authorization().expect("a request");
    let mut user = world.browser();
    let login = abandoned(&mut user, &request).await;
    let busy = world.site().await;
    let (mut first, first_request) = (world.browser(), busy.authorization().expect("a request"));
    let displaced = abandoned(&mut first, &first_request).await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    for _ in 0..60 {
        let page = abandoned(&mut world.browser(), &busy.authorization().expect("a request")).await;
        assert_eq!(page.status(), StatusCode::OK);
        assert!(world.shelf.count(collections::LOGINS).await.expect("memory") <= 20);
    }
    let page = first.press(&displaced, "user", "bob").await.expect("an answer").page().expect("a page");
    assert_eq!(page.status(), StatusCode::BAD_REQUEST, "the oldest of the busy one");
    let left = user.press(&login, "user", "alice").await.expect("an answer").left().expect("a callback");
    assert!(request.code(&left).is_ok(), "older than all of them");
}

#[tokio::test(start_paused = true)]
async fn a_login_that_is_finished_makes_room() {
    let world = World::with(|config| config.with_max_pending_logins(1)).await;
    let client = world.client(DOCUMENT, DOCUMENT_URI).await;
    for _ in 0..5 {
        client.log_in(&mut world.browser(), "alice").await.expect("tokens");
    }
}
