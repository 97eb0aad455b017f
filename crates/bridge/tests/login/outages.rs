//! Store failures during a login: status 503, and no completed step is lost.

use http::{StatusCode, header};
use portcullis_bridge::collections;
use portcullis_test_support::{Arrival, Endpoint};

use crate::fixture::{Fixture, parameter};

#[track_caller]
fn out_of_order(arrival: Arrival) {
    let page = arrival.page().expect("a page");
    assert_eq!(page.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(page.headers().contains_key(header::RETRY_AFTER));
    assert!(page.text().contains("try again"));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_is_503_and_the_same_step_works_again_afterwards() {
    let fixture = Fixture::new().await;
    let mut browser = fixture.browser();
    let client = fixture.registered().await;
    let request = client.authorization().expect("a request");

    fixture.store.set_broken(true);
    out_of_order(browser.get(&request.url()).await.expect("a response"));
    fixture.store.set_broken(false);
    let consent = browser.get(&request.url()).await.expect("a response").page().expect("a page");

    fixture.store.set_broken(true);
    out_of_order(browser.press(&consent, "decision", "approve").await.expect("a response"));
    fixture.store.set_broken(false);
    let login = browser.press(&consent, "decision", "approve").await.expect("a response").page().expect("a page");

    let mut held = browser.clone().with_stop_at("https://mcp.example.test/callback");
    let answer = held.press(&login, "user", "alice").await.expect("a response").left().expect("back");
    fixture.store.set_broken(true);
    out_of_order(browser.get(answer.as_str()).await.expect("a response"));
    assert_eq!(fixture.idp.calls(Endpoint::Token), 0, "the code is not used up");
    fixture.store.set_broken(false);
    let left = browser.get(answer.as_str()).await.expect("a response").left().expect("a code");
    let tokens = client.redeem(&request, &request.code(&left).expect("a code")).await.expect("tokens");
    assert!(tokens.status().is_success());
}

#[tokio::test(start_paused = true)]
async fn a_session_that_cannot_be_stored_revokes_its_grant() {
    let fixture = Fixture::new().await;
    let mut browser = fixture.browser();
    let request = fixture.site().await.authorization().expect("a request");
    let consent = browser.get(&request.url()).await.expect("a response").page().expect("a page");
    let login = browser.press(&consent, "decision", "approve").await.expect("a response").page().expect("a page");
    fixture.store.set_loses_answers(true);
    let left = browser.press(&login, "user", "alice").await.expect("a response").left().expect("back");
    assert_eq!(parameter(&left, "error").as_deref(), Some("temporarily_unavailable"));
    assert_eq!(parameter(&left, "code"), None);
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(fixture.idp.calls(Endpoint::Revocation), 1);
}

#[tokio::test(start_paused = true)]
async fn a_consent_that_cannot_be_stored_is_requested_again() {
    let fixture = Fixture::new().await;
    let mut browser = fixture.browser();
    let client = fixture.site().await;
    fixture.store.set_full(Some(collections::CONSENTS));
    let tokens = client.log_in(&mut browser, "alice").await.expect("tokens");
    assert!(fixture.verify(tokens.access_token()).await.is_ok());
    let request = client.authorization().expect("a request");
    let asked = browser.get(&request.url()).await.expect("a response").page().expect("a page");
    assert_eq!(asked.buttons().len(), 2);
}
