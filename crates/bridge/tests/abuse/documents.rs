//! Documents of clients: whom a bridge is made to ask for them, and whom that stops.

use portcullis_bridge::collections;
use std::time::Duration;

use axum::body::Body;
use http::StatusCode;
use portcullis_bridge::ClientMetadataDocumentPolicy;
use portcullis_test_support::Browser;
use tokio::time::sleep;

use crate::world::{ISSUER, World};

const HERE: &str = "192.0.2.1";
const ELSEWHERE: &str = "198.51.100.1";

/// What is answered to a browser at `address` that comes with the client `id`.
async fn authorize(world: &World, address: &str, id: &str) -> StatusCode {
    let client = world.client().await.with_client_id(id);
    let url = client.authorization().expect("an endpoint").url();
    let path = url.strip_prefix(ISSUER).expect("of the bridge");
    let request = http::Request::get(path).header("x-forwarded-for", address);
    world.send(request.body(Body::empty()).expect("a request")).await.status()
}

#[tokio::test(start_paused = true)]
async fn fetches_of_client_documents_from_one_host_are_limited() {
    let world = World::new();
    for n in 0..200 {
        let id = format!("https://victim.example.test/client-{n}.json");
        let status = authorize(&world, &format!("192.0.2.{n}"), &id).await;
        assert!(status.is_client_error(), "{status}");
    }
    assert_eq!(world.documents_fetched(), 30);
    let another = authorize(&world, ELSEWHERE, "https://victim.example.test/another.json").await;
    assert_eq!(another, StatusCode::TOO_MANY_REQUESTS);
    for n in 0..1500 {
        let id = format!("https://{n}.victims.example.test/client.json");
        authorize(&world, &format!("2001:db8:{n:x}::1"), &id).await;
    }
    assert_eq!(world.documents_fetched(), 970, "nor is a network by many names");
}

#[tokio::test(start_paused = true)]
async fn many_documents_of_one_requester_do_not_stop_new_clients_of_others() {
    let world = World::new();
    for n in 0..1500 {
        let status = authorize(&world, HERE, &format!("https://h{n}.example.test/c.json")).await;
        assert!(status.is_client_error(), "{status}");
    }
    assert_eq!(world.documents_fetched(), 20);
    for n in 0..60 {
        let id = format!("https://app{n}.example.test/good.json");
        assert_eq!(authorize(&world, HERE, &id).await, StatusCode::TOO_MANY_REQUESTS, "by whom it was too often");
        assert_eq!(authorize(&world, &format!("198.51.100.{n}"), &id).await, StatusCode::OK, "is nothing to others");
    }
    let here = authorize(&world, HERE, "https://app1.example.test/good.json").await;
    assert_eq!(here, StatusCode::OK, "what is known costs nothing");
}

#[tokio::test(start_paused = true)]
async fn known_documents_are_refreshed_and_not_displaced_by_unknown_ones() {
    let policy = ClientMetadataDocumentPolicy::new().with_trusted_hosts(["chosen.example.test"]);
    let world = World::with(|config| config.with_documents(policy));
    let known = "https://app.example.test/good.json";
    assert_eq!(authorize(&world, HERE, known).await, StatusCode::OK);
    sleep(Duration::from_mins(9)).await;
    for n in 0..3000 {
        let id = format!("https://h{n}.example.test/c.json");
        authorize(&world, &format!("2001:db8:{n:x}::1"), &id).await;
    }
    world.documents_fetched();
    assert_eq!(authorize(&world, ELSEWHERE, known).await, StatusCode::OK);
    assert_eq!(world.documents_fetched(), 0, "it is still known");
    sleep(Duration::from_mins(1)).await;
    for n in 0..3000 {
        let id = format!("https://i{n}.example.test/c.json");
        authorize(&world, &format!("2001:db8:{n:x}::1"), &id).await;
    }
    world.documents_fetched();
    assert_eq!(authorize(&world, ELSEWHERE, known).await, StatusCode::OK);
    assert_eq!(world.documents_fetched(), 1);
    let unknown = authorize(&world, ELSEWHERE, "https://new.example.test/good.json").await;
    assert_eq!(unknown, StatusCode::TOO_MANY_REQUESTS, "thousands of networks can stop what nobody knows");
    let chosen = authorize(&world, ELSEWHERE, "https://chosen.example.test/good.json").await;
    assert_eq!(chosen, StatusCode::OK, "but not what the operator knows");
}

#[tokio::test(start_paused = true)]
async fn one_account_that_logs_in_through_many_documents_has_a_hundred_of_them_and_of_sessions() {
    let world = World::new();
    for n in 0..110 {
        let id = format!("https://app{n}.example.test/good.json");
        let client = world.client().await.with_client_id(&id);
        let tokens = client.log_in(&mut Browser::new(world.network.clone()), "mallory").await.expect("a login");
        assert_eq!(tokens.status(), 200, "{tokens:?}");
    }
    for table in [collections::DOCUMENTS, collections::SESSIONS] {
        assert_eq!(world.rows(table).await, 100, "{}", table.as_str());
    }
}
