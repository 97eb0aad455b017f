//! The lifetime and the maximum number of registrations.

use portcullis_bridge::collections;
use std::time::Duration;

use portcullis_bridge::RegistrationPolicy;
use portcullis_store::Store as _;
use portcullis_test_support::{Answer, Browser, OAuthClient};
use serde_json::json;

use crate::{
    document_host::{CLIENT, REDIRECT_URI},
    fixture::{Fixture, Outcome, metadata, nothing},
};

const DAY: Duration = Duration::from_hours(24);

async fn registered(fixture: &Fixture) -> OAuthClient {
    let mut client = fixture.client("").await;
    client.register(&client.registration()).await.expect("a response");
    client
}

async fn log_in(fixture: &Fixture, client: &OAuthClient) -> Answer {
    log_in_as(fixture, client, "alice").await
}

async fn log_in_as(fixture: &Fixture, client: &OAuthClient, user: &str) -> Answer {
    fixture.idp.set_user(user, serde_json::Map::new());
    let mut browser = Browser::new(fixture.network.clone());
    client.log_in(&mut browser, user).await.expect("a login")
}

#[tokio::test(start_paused = true)]
async fn as_03_a_registration_that_is_never_used_is_forgotten_after_a_day() {
    let fixture = Fixture::new();
    let client = registered(&fixture).await;
    fixture.clock.advance(DAY - Duration::from_secs(1));
    assert_eq!(Outcome::of(nothing(&client)).await, Outcome::Known, "an attempt is no use");
    fixture.clock.advance(Duration::from_secs(1));
    assert_eq!(Outcome::of(nothing(&client)).await, Outcome::Refused);
    assert!(!fixture.sends_codes_to(client.client_id(), client.redirect_uri()).await);
}

#[tokio::test(start_paused = true)]
async fn as_03_a_registration_that_is_used_is_kept_for_ninety_days_after_the_last_use() {
    let fixture = Fixture::with(|config| config.with_refresh_token_ttl(200 * DAY).with_max_session_age(400 * DAY));
    let client = registered(&fixture).await;
    let tokens = log_in(&fixture, &client).await;
    fixture.clock.advance(89 * DAY);
    let tokens = client.refresh(tokens.refresh_token()).await.expect("a response");
    assert_eq!(tokens.status(), 200);
    fixture.clock.advance(89 * DAY);
    let tokens = client.refresh(tokens.refresh_token()).await.expect("a response");
    assert_eq!(tokens.status(), 200, "it was used in between");
    fixture.clock.advance(90 * DAY);
    let tokens = client.refresh(tokens.refresh_token()).await.expect("a response");
    assert_eq!(tokens.error(), Some("invalid_client"));
}

#[tokio::test(start_paused = true)]
async fn the_use_of_a_client_is_stored_once_a_day() {
    let fixture = Fixture::new();
    let client = registered(&fixture).await;
    let version = async || {
        let rows = fixture.rows.page(collections::CLIENTS, None, 2).await.expect("memory");
        assert_eq!(rows.len(), 1);
        (rows[0].1.version, rows[0].1.row.expires_at)
    };
    let unused = version().await;
    let tokens = log_in(&fixture, &client).await;
    let used = version().await;
    assert!(used.0 > unused.0 && used.1 > unused.1, "the first use counts at once");
    fixture.clock.advance(DAY - Duration::from_mins(1));
    let tokens = client.refresh(tokens.refresh_token()).await.expect("a response");
    assert_eq!(version().await, used);
    fixture.clock.advance(Duration::from_mins(1));
    client.refresh(tokens.refresh_token()).await.expect("a response");
    let later = version().await;
    assert_eq!(later.1, used.1 + DAY);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_removed_from_the_store_is_gone_at_once() {
    let fixture = Fixture::new();
    let client = registered(&fixture).await;
    assert_eq!(Outcome::of(nothing(&client)).await, Outcome::Known);
    let rows = fixture.rows.page(collections::CLIENTS, None, 2).await.expect("memory");
    for (key, row) in rows {
        assert!(fixture.rows.compare_and_remove(key, row.version).await.expect("memory"));
    }
    assert_eq!(Outcome::of(nothing(&client)).await, Outcome::Refused);
}

#[tokio::test(start_paused = true)]
async fn a_registration_survives_a_restart() {
    let fixture = Fixture::new();
    let mut client = fixture.client("").await;
    client.register(&json!({"redirect_uris": ["https://app.example.test/callback"]})).await.expect("a response");
    let secret = client.clone();
    let fixture = fixture.restarted(|config| config.with_registration(RegistrationPolicy::disabled()));
    assert_eq!(Outcome::of(nothing(&secret)).await, Outcome::Known, "the old process");
    assert_eq!(fixture.outcome(client.client_id()).await, Outcome::Refused, "without its secret");
    assert_eq!(fixture.stored().await, 1);
}

#[tokio::test(start_paused = true)]
async fn the_oldest_unused_registration_makes_room() {
    let fixture = Fixture::with(|config| config.with_registration(RegistrationPolicy::new().with_max_clients(3)));
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(registered(&fixture).await);
        fixture.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(fixture.stored().await, 3);
    assert_eq!(Outcome::of(nothing(&clients[0])).await, Outcome::Refused, "the oldest");
    for (client, user) in clients[1..].iter().zip(["alice", "bob", "carol"]) {
        log_in_as(&fixture, client, user).await;
    }
    let answer = fixture.register(&metadata("https://app.example.test/callback")).await;
    assert_eq!((answer.status().as_u16(), answer.error()), (503, Some("temporarily_unavailable")));
    for client in &clients[1..] {
        assert_eq!(Outcome::of(nothing(client)).await, Outcome::Known);
    }
}

#[tokio::test(start_paused = true)]
async fn clients_with_documents_do_not_count_as_registrations() {
    let fixture = Fixture::with(|config| config.with_registration(RegistrationPolicy::new().with_max_clients(1)));
    let documented = fixture.client(CLIENT).await.with_redirect_uri(REDIRECT_URI);
    log_in(&fixture, &documented).await;
    let client = registered(&fixture).await;
    log_in(&fixture, &client).await;
    assert_eq!((fixture.stored().await, fixture.documents().await), (1, 1));
}
