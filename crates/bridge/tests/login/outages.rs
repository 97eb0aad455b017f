//! A store that is out of order: 503, and nothing is lost that was not answered.

use http::{StatusCode, header};
use portcullis_bridge::collections;
use portcullis_test_support::{Arrival, Endpoint};

use crate::world::{World, parameter};

#[track_caller]
fn out_of_order(arrival: Arrival) {
    let page = arrival.page().expect("a page");
    assert_eq!(page.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(page.headers().contains_key(header::RETRY_AFTER));
    assert!(page.text().contains("try again"));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_is_503_and_the_same_step_works_again_afterwards() {
    let world = World::new().await;
    let mut browser = world.browser();
    let client = world.stranger().await;
    let request = client.authorization().expect("a request");

    world.shelf.set_broken(true);
    out_of_order(browser.get(&request.url()).await.expect("an answer"));
    world.shelf.set_broken(false);
    let consent = browser.get(&request.url()).await.expect("an answer").page().expect("a page");

    world.shelf.set_broken(true);
    out_of_order(browser.press(&consent, "decision", "approve").await.expect("an answer"));
    world.shelf.set_broken(false);
    let login = browser.press(&consent, "decision", "approve").await.expect("an answer").page().expect("a page");

    let mut held = browser.clone().with_stop_at("https://mcp.example.test/callback");
    let answer = held.press(&login, "user", "alice").await.expect("an answer").left().expect("back");
    world.shelf.set_broken(true);
    out_of_order(browser.get(answer.as_str()).await.expect("an answer"));
    assert_eq!(world.idp.calls(Endpoint::Token), 0, "the code is not used up");
    world.shelf.set_broken(false);
    let left = browser.get(answer.as_str()).await.expect("an answer").left().expect("a code");
    let tokens = client.redeem(&request, &request.code(&left).expect("a code")).await.expect("tokens");
    assert!(tokens.status().is_success());
}

#[tokio::test(start_paused = true)]
async fn a_session_that_cannot_be_kept_is_none_and_its_tokens_go_back() {
    let world = World::new().await;
    let mut browser = world.browser();
    let request = world.site().await.authorization().expect("a request");
    let consent = browser.get(&request.url()).await.expect("an answer").page().expect("a page");
    let login = browser.press(&consent, "decision", "approve").await.expect("an answer").page().expect("a page");
    world.shelf.set_loses_answers(true);
    let left = browser.press(&login, "user", "alice").await.expect("an answer").left().expect("back");
    assert_eq!(parameter(&left, "error").as_deref(), Some("temporarily_unavailable"));
    assert_eq!(parameter(&left, "code"), None);
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(world.idp.calls(Endpoint::Revocation), 1);
}

#[tokio::test(start_paused = true)]
async fn a_consent_that_cannot_be_remembered_is_asked_for_again_and_that_is_all() {
    let world = World::new().await;
    let mut browser = world.browser();
    let client = world.site().await;
    world.shelf.set_full(Some(collections::CONSENTS));
    let tokens = client.log_in(&mut browser, "alice").await.expect("tokens");
    assert!(world.verify(tokens.access_token()).await.is_ok());
    let request = client.authorization().expect("a request");
    let asked = browser.get(&request.url()).await.expect("an answer").page().expect("a page");
    assert_eq!(asked.buttons().len(), 2);
}
