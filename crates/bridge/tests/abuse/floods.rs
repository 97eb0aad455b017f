//! Floods of requests: the stored rows are bounded, and other users are not locked out.

use portcullis_bridge::collections;
use std::time::Duration;

use http::StatusCode;
use portcullis_bridge::RegistrationPolicy;
use portcullis_store::{Expected, RecordKey, Row, Store as _};
use portcullis_test_support::{Browser, TestClock};
use tokio::time::sleep;

use crate::fixture::{Fixture, REDIRECT_URI};

const HERE: &str = "192.0.2.1";
const ELSEWHERE: &str = "198.51.100.1";

#[tokio::test(start_paused = true)]
async fn registrations_of_one_address_are_limited_and_others_register() {
    let fixture = Fixture::new();
    let registration = fixture.client().await.registration();
    let mut registered = 0;
    for _ in 0..2000 {
        match register(&fixture, HERE, &registration).await {
            StatusCode::CREATED => registered += 1,
            other => assert_eq!(other, StatusCode::TOO_MANY_REQUESTS),
        }
    }
    assert_eq!(registered, 200);
    assert_eq!(fixture.rows(collections::CLIENTS).await, 200);
    assert_eq!(register(&fixture, ELSEWHERE, &registration).await, StatusCode::CREATED);
    sleep(Duration::from_secs(11)).await;
    assert_eq!(register(&fixture, HERE, &registration).await, StatusCode::CREATED);
}

#[tokio::test(start_paused = true)]
async fn the_networks_of_one_site_register_no_more_than_a_few_callers() {
    let fixture = Fixture::new();
    let registration = fixture.client().await.registration();
    for n in 0..1000 {
        register(&fixture, &format!("2001:db8:1:{n:x}::1"), &registration).await;
    }
    assert_eq!(fixture.rows(collections::CLIENTS).await, 800);
    assert_eq!(register(&fixture, "2001:db8:2::1", &registration).await, StatusCode::CREATED);
}

#[tokio::test(start_paused = true)]
async fn registrations_from_everywhere_are_bounded_and_keep_out_neither_newcomers_nor_those_in_use() {
    let fixture = Fixture::with(|config| config.with_registration(RegistrationPolicy::new().with_max_clients(300)));
    let mut in_use = fixture.client().await;
    let registration = in_use.registration();
    in_use.register(&registration).await.expect("a response");
    let tokens = in_use.log_in(&mut Browser::new(fixture.network.clone()), "alice").await.expect("a login");
    for n in 0..1000 {
        let status = register(&fixture, &format!("2001:db8:{n:x}::1"), &registration).await;
        assert_eq!(status, StatusCode::CREATED);
        assert!(fixture.rows(collections::CLIENTS).await <= 300);
    }
    sleep(Duration::from_secs(1)).await;
    let mut newcomer = fixture.client().await;
    newcomer.register(&registration).await.expect("a response");
    sleep(Duration::from_secs(1)).await;
    for n in 0..200 {
        register(&fixture, &format!("2001:db8:{n:x}::2"), &registration).await;
    }
    newcomer.log_in(&mut Browser::new(fixture.network.clone()), "bob").await.expect("it was not the oldest");
    assert_eq!(in_use.refresh(tokens.refresh_token()).await.expect("a response").status(), StatusCode::OK);
    sleep(Duration::from_hours(25)).await;
    assert_eq!(fixture.rows(collections::CLIENTS).await, 2, "the others were never used");
}

async fn register(fixture: &Fixture, address: &str, registration: &serde_json::Value) -> StatusCode {
    let request = http::Request::post("/register")
        .header("content-type", "application/json")
        .header("x-forwarded-for", address)
        .body(registration.to_string().into());
    fixture.send(request.expect("a request")).await.status()
}

#[tokio::test(start_paused = true)]
async fn logins_that_are_begun_and_left_stop_neither_others_nor_the_same_address_for_long() {
    let fixture = Fixture::with(|config| config.with_max_pending_logins(2000));
    let client = fixture.client().await;
    let network = fixture.network_at(HERE);
    let mut begun = 0;
    for _ in 0..300 {
        // Each request comes from a new browser, as a program would send it.
        let page = fixture.begin_login(&client, &mut Browser::new(network.clone())).await;
        match page.status() {
            StatusCode::OK => begun += 1,
            other => {
                assert_eq!(other, StatusCode::TOO_MANY_REQUESTS);
                assert!(page.headers().contains_key("retry-after") && page.text().contains("many"), "{}", page.text());
            }
        }
    }
    assert_eq!(begun, 50, "a fortieth");
    assert_eq!(fixture.rows(collections::LOGINS).await, 50);
    let elsewhere = fixture.begin_login(&client, &mut Browser::new(fixture.network_at(ELSEWHERE))).await;
    assert_eq!(elsewhere.status(), StatusCode::OK);

    sleep(Duration::from_mins(12)).await;
    assert_eq!(fixture.rows(collections::LOGINS).await, 0, "they are swept");
    let here = fixture.begin_login(&client, &mut Browser::new(network)).await;
    assert_eq!(here.status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn completed_logins_are_not_limited() {
    let fixture = Fixture::with(|config| config.with_max_pending_logins(400));
    let client = fixture.client().await;
    for n in 0..100 {
        let mut browser = Browser::new(fixture.network_at(HERE)).with_stop_at(REDIRECT_URI);
        let authorization = client.authorization().expect("an endpoint");
        let arrival = browser.log_in(&authorization.url(), &format!("user-{n}")).await.expect("pages");
        let callback = arrival.left().expect("back at the client");
        authorization.code(&callback).expect("a code");
    }
}

#[tokio::test(start_paused = true)]
async fn pending_logins_are_bounded_and_one_source_cannot_lock_out_others() {
    let fixture = Fixture::with(|config| config.with_max_pending_logins(100));
    let client = fixture.client().await;
    let victim = |n: u8| Browser::new(fixture.network_at(&format!("198.51.100.{n}"))).with_stop_at(REDIRECT_URI);
    let authorization = client.authorization().expect("an endpoint");
    let mut early = victim(0);
    let page = early.press_through(&authorization.url(), &[Browser::APPROVE]).await.expect("pages");
    let sign_in = page.page().expect("the page of the provider");
    for n in 0..600 {
        // Many networks with few requests each.
        let network = fixture.network_at(&format!("2001:db8:{:x}:{n:x}::1", n % 30));
        fixture.begin_login(&client, &mut Browser::new(network)).await;
        assert!(fixture.rows(collections::LOGINS).await <= 100);
    }
    assert_eq!(fixture.rows(collections::LOGINS).await, 100, "as many as there may be");
    for n in 1..20 {
        let page = fixture.begin_login(&client, &mut victim(n)).await;
        assert_eq!(page.status(), StatusCode::OK);
    }
    assert_eq!(fixture.rows(collections::LOGINS).await, 100);
    let arrival = early.press(&sign_in, "user", "alice").await.expect("pages");
    authorization.code(&arrival.left().expect("a callback")).expect("the login that was there before is still there");
}

#[tokio::test(start_paused = true)]
async fn logins_that_another_process_began_make_room_as_well() {
    let fixture = Fixture::with(|config| config.with_max_pending_logins(20));
    let client = fixture.client().await;
    let end = TestClock::START + Duration::from_mins(10);
    for n in 0..20_u8 {
        let row = Row::new(vec![n].into(), end);
        fixture
            .rows
            .compare_and_swap(RecordKey::of(collections::LOGINS, &[&[n]]), Expected::Absent, row, None)
            .await
            .expect("memory");
    }
    let page = fixture.begin_login(&client, &mut Browser::new(fixture.network_at(HERE))).await;
    assert_eq!(page.status(), StatusCode::OK);
    assert_eq!(fixture.rows(collections::LOGINS).await, 20);
}
