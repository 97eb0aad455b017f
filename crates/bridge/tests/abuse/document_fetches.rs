//! Limits of the fetches of client metadata documents.

use portcullis_bridge::collections;
use std::time::Duration;

use axum::body::Body;
use http::StatusCode;
use portcullis_bridge::ClientMetadataDocumentPolicy;
use portcullis_test_support::Browser;
use tokio::time::sleep;

use crate::fixture::{Fixture, ISSUER};

const HERE: &str = "192.0.2.1";
const ELSEWHERE: &str = "198.51.100.1";

/// Returns the status of an authorization request of the client `id` from `address`.
async fn authorize(fixture: &Fixture, address: &str, id: &str) -> StatusCode {
    let client = fixture.client().await.with_client_id(id);
    let url = client.authorization().expect("an endpoint").url();
    let path = url.strip_prefix(ISSUER).expect("of the bridge");
    let request = http::Request::get(path).header("x-forwarded-for", address);
    fixture.send(request.body(Body::empty()).expect("a request")).await.status()
}

#[tokio::test(start_paused = true)]
async fn fetches_of_client_documents_from_one_host_are_limited() {
    let fixture = Fixture::new();
    for n in 0..200 {
        let id = format!("https://victim.example.test/client-{n}.json");
        let status = authorize(&fixture, &format!("192.0.2.{n}"), &id).await;
        assert!(status.is_client_error(), "{status}");
    }
    assert_eq!(fixture.documents_fetched(), 30);
    let another = authorize(&fixture, ELSEWHERE, "https://victim.example.test/another.json").await;
    assert_eq!(another, StatusCode::TOO_MANY_REQUESTS);
    for n in 0..1500 {
        let id = format!("https://{n}.victims.example.test/client.json");
        authorize(&fixture, &format!("2001:db8:{n:x}::1"), &id).await;
    }
    assert_eq!(fixture.documents_fetched(), 970, "nor is a network by many names");
}

#[tokio::test(start_paused = true)]
async fn many_documents_of_one_requester_do_not_stop_new_clients_of_others() {
    let fixture = Fixture::new();
    for n in 0..1500 {
        let status = authorize(&fixture, HERE, &format!("https://h{n}.example.test/c.json")).await;
        assert!(status.is_client_error(), "{status}");
    }
    assert_eq!(fixture.documents_fetched(), 20);
    for n in 0..60 {
        let id = format!("https://app{n}.example.test/good.json");
        assert_eq!(authorize(&fixture, HERE, &id).await, StatusCode::TOO_MANY_REQUESTS, "by whom it was too often");
        assert_eq!(authorize(&fixture, &format!("198.51.100.{n}"), &id).await, StatusCode::OK, "is nothing to others");
    }
    let here = authorize(&fixture, HERE, "https://app1.example.test/good.json").await;
    assert_eq!(here, StatusCode::OK, "what is known costs nothing");
}

#[tokio::test(start_paused = true)]
async fn known_documents_are_refreshed_and_not_displaced_by_unknown_ones() {
    let policy = ClientMetadataDocumentPolicy::new().with_trusted_hosts(["chosen.example.test"]);
    let fixture = Fixture::with(|config| config.with_documents(policy));
    let known = "https://app.example.test/good.json";
    assert_eq!(authorize(&fixture, HERE, known).await, StatusCode::OK);
    sleep(Duration::from_mins(9)).await;
    for n in 0..3000 {
        let id = format!("https://h{n}.example.test/c.json");
        authorize(&fixture, &format!("2001:db8:{n:x}::1"), &id).await;
    }
    fixture.documents_fetched();
    assert_eq!(authorize(&fixture, ELSEWHERE, known).await, StatusCode::OK);
    assert_eq!(fixture.documents_fetched(), 0, "it is still known");
    sleep(Duration::from_mins(1)).await;
    for n in 0..3000 {
        let id = format!("https://i{n}.example.test/c.json");
        authorize(&fixture, &format!("2001:db8:{n:x}::1"), &id).await;
    }
    fixture.documents_fetched();
    assert_eq!(authorize(&fixture, ELSEWHERE, known).await, StatusCode::OK);
    assert_eq!(fixture.documents_fetched(), 1);
    let unknown = authorize(&fixture, ELSEWHERE, "https://new.example.test/good.json").await;
    assert_eq!(
        unknown,
        StatusCode::TOO_MANY_REQUESTS,
        "thousands of networks can exhaust the limit for unknown documents"
    );
    let chosen = authorize(&fixture, ELSEWHERE, "https://chosen.example.test/good.json").await;
    assert_eq!(chosen, StatusCode::OK, "but not what the operator knows");
}

#[tokio::test(start_paused = true)]
async fn one_account_that_logs_in_through_many_documents_has_a_hundred_of_them_and_of_sessions() {
    let fixture = Fixture::new();
    for n in 0..110 {
        let id = format!("https://app{n}.example.test/good.json");
        let client = fixture.client().await.with_client_id(&id);
        let tokens = client.log_in(&mut Browser::new(fixture.network.clone()), "mallory").await.expect("a login");
        assert_eq!(tokens.status(), 200, "{tokens:?}");
    }
    for table in [collections::DOCUMENTS, collections::SESSIONS] {
        assert_eq!(fixture.rows(table).await, 100, "{}", table.as_str());
    }
}
