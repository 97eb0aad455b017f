//! For how long clients are remembered that have registered themselves, and how many.

use portcullis_bridge::collections;
use std::time::Duration;

use portcullis_bridge::RegistrationPolicy;
use portcullis_store::Store as _;
use portcullis_test_support::{Answer, Browser, OAuthClient};
use serde_json::json;

use crate::{
    host::{CLIENT, REDIRECT_URI},
    world::{Outcome, World, metadata, nothing},
};

const DAY: Duration = Duration::from_hours(24);

async fn registered(world: &World) -> OAuthClient {
    let mut client = world.client("").await;
    client.register(&client.registration()).await.expect("an answer");
    client
}

async fn log_in(world: &World, client: &OAuthClient) -> Answer {
    log_in_as(world, client, "alice").await
}

async fn log_in_as(world: &World, client: &OAuthClient, user: &str) -> Answer {
    world.idp.set_user(user, serde_json::Map::new());
    let mut browser = Browser::new(world.network.clone());
    client.log_in(&mut browser, user).await.expect("a login")
}

#[tokio::test(start_paused = true)]
async fn as_03_a_registration_that_is_never_used_is_forgotten_after_a_day() {
    let world = World::new();
    let client = registered(&world).await;
    world.clock.advance(DAY - Duration::from_secs(1));
    assert_eq!(Outcome::of(nothing(&client)).await, Outcome::Known, "an attempt is no use");
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(Outcome::of(nothing(&client)).await, Outcome::Refused);
    assert!(!world.sends_codes_to(client.client_id(), client.redirect_uri()).await);
}

#[tokio::test(start_paused = true)]
async fn as_03_a_registration_that_is_used_is_kept_for_ninety_days_after_the_last_use() {
    let world = World::with(|config| config.with_refresh_token_ttl(200 * DAY).with_max_session_age(400 * DAY));
    let client = registered(&world).await;
    let tokens = log_in(&world, &client).await;
    world.clock.advance(89 * DAY);
    let tokens = client.refresh(tokens.refresh_token()).await.expect("an answer");
    assert_eq!(tokens.status(), 200);
    world.clock.advance(89 * DAY);
    let tokens = client.refresh(tokens.refresh_token()).await.expect("an answer");
    assert_eq!(tokens.status(), 200, "it was used in between");
    world.clock.advance(90 * DAY);
    let tokens = client.refresh(tokens.refresh_token()).await.expect("an answer");
    assert_eq!(tokens.error(), Some("invalid_client"));
}

#[tokio::test(start_paused = true)]
async fn the_use_of_a_client_is_written_down_once_a_day() {
    let world = World::new();
    let client = registered(&world).await;
    let version = async || {
        let rows = world.rows.page(collections::CLIENTS, None, 2).await.expect("memory");
        assert_eq!(rows.len(), 1);
        (rows[0].1.version, rows[0].1.row.expires_at)
    };
    let unused = version().await;
    let tokens = log_in(&world, &client).await;
    let used = version().await;
    assert!(used.0 > unused.0 && used.1 > unused.1, "the first use counts at once");
    world.clock.advance(DAY - Duration::from_mins(1));
    let tokens = client.refresh(tokens.refresh_token()).await.expect("an answer");
    assert_eq!(version().await, used);
    world.clock.advance(Duration::from_mins(1));
    client.refresh(tokens.refresh_token()).await.expect("an answer");
    let later = version().await;
    assert_eq!(later.1, used.1 + DAY);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_removed_from_the_store_is_gone_at_once() {
    let world = World::new();
    let client = registered(&world).await;
    assert_eq!(Outcome::of(nothing(&client)).await, Outcome::Known);
    let rows = world.rows.page(collections::CLIENTS, None, 2).await.expect("memory");
    for (key, row) in rows {
        assert!(world.rows.compare_and_remove(key, row.version).await.expect("memory"));
    }
    assert_eq!(Outcome::of(nothing(&client)).await, Outcome::Refused);
}

#[tokio::test(start_paused = true)]
async fn a_client_is_still_known_to_the_process_that_starts_next() {
    let world = World::new();
    let mut client = world.client("").await;
    client.register(&json!({"redirect_uris": ["https://app.example.test/callback"]})).await.expect("an answer");
    let secret = client.clone();
    let world = world.restarted(|config| config.with_registration(RegistrationPolicy::disabled()));
    assert_eq!(Outcome::of(nothing(&secret)).await, Outcome::Known, "the old process");
    assert_eq!(world.outcome(client.client_id()).await, Outcome::Refused, "without its secret");
    assert_eq!(world.stored().await, 1);
}

#[tokio::test(start_paused = true)]
async fn the_oldest_that_was_never_used_makes_room_and_those_in_use_do_not() {
    let world = World::with(|config| config.with_registration(RegistrationPolicy::new().with_max_clients(3)));
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(registered(&world).await);
        world.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(world.stored().await, 3);
    assert_eq!(Outcome::of(nothing(&clients[0])).await, Outcome::Refused, "the oldest");
    for (client, user) in clients[1..].iter().zip(["alice", "bob", "carol"]) {
        log_in_as(&world, client, user).await;
    }
    let answer = world.register(&metadata("https://app.example.test/callback")).await;
    assert_eq!((answer.status().as_u16(), answer.error()), (503, Some("temporarily_unavailable")));
    for client in &clients[1..] {
        assert_eq!(Outcome::of(nothing(client)).await, Outcome::Known);
    }
}

#[tokio::test(start_paused = true)]
async fn clients_with_documents_take_no_room_of_those_that_register() {
    let world = World::with(|config| config.with_registration(RegistrationPolicy::new().with_max_clients(1)));
    let documented = world.client(CLIENT).await.with_redirect_uri(REDIRECT_URI);
    log_in(&world, &documented).await;
    let client = registered(&world).await;
    log_in(&world, &client).await;
    assert_eq!((world.stored().await, world.documents().await), (1, 1));
}
