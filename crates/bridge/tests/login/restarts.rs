//! A process that ends in the middle of a login, and one that is asked for too many of them.

use std::time::Duration;

use http::{StatusCode, header};
use portcullis_testkit::{Authorization, Browser, Endpoint, LoginPolicy, OAuthClient, Page};

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
async fn logins_that_are_pending_are_bounded_and_a_client_has_its_share() {
    let world = World::with(|config| config.with_max_pending_logins(20)).await;
    let mut browser = world.browser();
    let busy = world.site().await;
    for _ in 0..2 {
        let page = abandoned(&mut browser, &busy.authorization().expect("a request")).await;
        assert_eq!(page.status(), StatusCode::OK);
    }
    let page = abandoned(&mut browser, &busy.authorization().expect("a request")).await;
    assert_eq!(page.status(), StatusCode::SERVICE_UNAVAILABLE, "a tenth");
    assert!(page.headers().contains_key(header::RETRY_AFTER));
    assert!(!page.headers().contains_key(header::SET_COOKIE));

    for _ in 0..9 {
        let client = world.stranger().await;
        for _ in 0..2 {
            abandoned(&mut browser, &client.authorization().expect("a request")).await;
        }
    }
    let other = world.client(APP, OAuthClient::REDIRECT_URI).await;
    let page = abandoned(&mut browser, &other.authorization().expect("a request")).await;
    assert_eq!(page.status(), StatusCode::SERVICE_UNAVAILABLE, "all of them");
    assert_eq!(world.idp.calls(Endpoint::Authorization), 20);

    world.clock.advance(Duration::from_mins(10));
    tokio::time::sleep(Duration::from_mins(2)).await;
    let page = abandoned(&mut browser, &busy.authorization().expect("a request")).await;
    assert_eq!(page.status(), StatusCode::OK, "they are given up");
}

#[tokio::test(start_paused = true)]
async fn a_login_that_is_finished_makes_room() {
    let world = World::with(|config| config.with_max_pending_logins(1)).await;
    let client = world.client(DOCUMENT, DOCUMENT_URI).await;
    for _ in 0..5 {
        client.log_in(&mut world.browser(), "alice").await.expect("tokens");
    }
}
