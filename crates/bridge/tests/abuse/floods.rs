//! Floods: what strangers can make a bridge keep is bounded, and they do not keep others out.

use std::time::Duration;

use axum::body::Body;
use http::StatusCode;
use portcullis_bridge::RegistrationPolicy;
use portcullis_grants::records::Table;
use portcullis_testkit::Browser;
use tokio::time::sleep;

use crate::world::{ISSUER, REDIRECT_URI, World};

const HERE: &str = "192.0.2.1";
const ELSEWHERE: &str = "198.51.100.1";

#[tokio::test(start_paused = true)]
async fn thousands_of_registrations_from_an_address_are_few_and_others_register() {
    let world = World::new();
    let registration = world.client().await.registration();
    let mut registered = 0;
    for _ in 0..2000 {
        match register(&world, HERE, &registration).await {
            StatusCode::CREATED => registered += 1,
            other => assert_eq!(other, StatusCode::TOO_MANY_REQUESTS),
        }
    }
    assert_eq!(registered, 200);
    assert_eq!(world.rows(Table::Clients).await, 200);
    assert_eq!(register(&world, ELSEWHERE, &registration).await, StatusCode::CREATED);
    sleep(Duration::from_secs(11)).await;
    assert_eq!(register(&world, HERE, &registration).await, StatusCode::CREATED);
}

#[tokio::test(start_paused = true)]
async fn registrations_from_everywhere_are_bounded_and_go_when_nobody_uses_them() {
    let world = World::with(|config| config.with_registration(RegistrationPolicy::new().with_max_clients(300)));
    let registration = world.client().await.registration();
    let mut last = StatusCode::CREATED;
    for n in 0..400 {
        last = register(&world, &format!("2001:db8:{n:x}::1"), &registration).await;
    }
    assert!(!last.is_success());
    assert_eq!(world.rows(Table::Clients).await, 300);
    sleep(Duration::from_hours(25)).await;
    assert_eq!(world.rows(Table::Clients).await, 0);
    assert_eq!(register(&world, HERE, &registration).await, StatusCode::CREATED);
}

async fn register(world: &World, address: &str, registration: &serde_json::Value) -> StatusCode {
    let request = http::Request::post("/register")
        .header("content-type", "application/json")
        .header("x-forwarded-for", address)
        .body(registration.to_string().into());
    world.send(request.expect("a request")).await.status()
}

#[tokio::test(start_paused = true)]
async fn logins_that_are_begun_and_left_stop_neither_others_nor_the_same_address_for_long() {
    let world = World::with(|config| config.with_max_pending_logins(2000));
    let client = world.client().await;
    let network = world.network_at(HERE);
    let mut begun = 0;
    for _ in 0..300 {
        // Each of them a browser of its own, as a program would.
        let page = world.begin_login(&client, &mut Browser::new(network.clone())).await;
        match page.status() {
            StatusCode::OK => begun += 1,
            other => {
                assert_eq!(other, StatusCode::TOO_MANY_REQUESTS);
                assert!(page.headers().contains_key("retry-after") && page.text().contains("many"), "{}", page.text());
            }
        }
    }
    assert_eq!(begun, 50, "a fortieth");
    assert_eq!(world.rows(Table::Logins).await, 50);
    let elsewhere = world.begin_login(&client, &mut Browser::new(world.network_at(ELSEWHERE))).await;
    assert_eq!(elsewhere.status(), StatusCode::OK);

    sleep(Duration::from_mins(12)).await;
    assert_eq!(world.rows(Table::Logins).await, 0, "they are swept");
    let here = world.begin_login(&client, &mut Browser::new(network)).await;
    assert_eq!(here.status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn logins_that_are_completed_are_never_too_many() {
    let world = World::with(|config| config.with_max_pending_logins(400));
    let client = world.client().await;
    for n in 0..100 {
        let mut browser = Browser::new(world.network_at(HERE)).with_stop_at(REDIRECT_URI);
        let authorization = client.authorization().expect("an endpoint");
        let arrival = browser.log_in(&authorization.url(), &format!("user-{n}")).await.expect("pages");
        let callback = arrival.left().expect("back at the client");
        authorization.code(&callback).expect("a code");
    }
}

#[tokio::test(start_paused = true)]
async fn pending_logins_are_bounded_whoever_begins_them_and_the_bridge_recovers() {
    let world = World::with(|config| config.with_max_pending_logins(100));
    let client = world.client().await;
    let mut statuses = Vec::new();
    for n in 0..30 {
        let network = world.network_at(&format!("2001:db8:{n:x}::1"));
        statuses.push(world.begin_login(&client, &mut Browser::new(network)).await.status());
    }
    assert_eq!(statuses.iter().filter(|status| **status == StatusCode::OK).count(), 10, "a client's tenth");
    assert_eq!(statuses.last(), Some(&StatusCode::SERVICE_UNAVAILABLE));
    sleep(Duration::from_mins(12)).await;
    let again = world.begin_login(&client, &mut Browser::new(world.network_at(HERE))).await;
    assert_eq!(again.status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_hammered_through_documents_of_clients() {
    let world = World::new();
    let authorize = async |client_id: String| {
        let client = world.client().await.with_client_id(&client_id);
        let url = client.authorization().expect("an endpoint").url();
        let path = url.strip_prefix(ISSUER).expect("of the bridge");
        world.send(http::Request::get(path).body(Body::empty()).expect("a request")).await.status()
    };
    for n in 0..200 {
        let status = authorize(format!("https://victim.example.test/client-{n}.json")).await;
        assert!(status.is_client_error() || status == StatusCode::SERVICE_UNAVAILABLE, "{status}");
    }
    assert_eq!(world.documents_fetched(), 30);
    assert_eq!(authorize("https://victim.example.test/another.json".to_owned()).await, StatusCode::TOO_MANY_REQUESTS);
    for n in 0..1000 {
        authorize(format!("https://{n}.victims.example.test/client.json")).await;
    }
    assert_eq!(world.documents_fetched(), 570, "nor is a network by many names");
}
