//! What one user, or one client, may fill of what all share.

use portcullis_bridge::collections;
use std::{ops::Range, time::Duration};

use bytes::Bytes;
use http::Request;
use portcullis_bridge::{BridgeConfig, RegistrationPolicy};
use portcullis_store::Store as _;
use portcullis_test_support::{Answer, Browser, Endpoint, OAuthClient};
use serde_json::{Map, Value, json};

use crate::{
    host::{CLIENT, REDIRECT_URI, document},
    world::{ISSUER, Outcome, World, metadata, nothing, with},
};

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

fn room_for(max: u64) -> impl FnOnce(BridgeConfig) -> BridgeConfig {
    move |config| config.with_registration(RegistrationPolicy::new().with_max_clients(max))
}

async fn registered(world: &World) -> OAuthClient {
    let mut client = world.client("").await;
    let answer = client.register(&client.registration()).await.expect("an answer");
    assert_eq!(answer.status(), 201, "{answer:?}");
    client
}

async fn log_in(world: &World, client: &OAuthClient, user: &str) -> Answer {
    world.idp.set_user(user, Map::new());
    let tokens = client.log_in(&mut Browser::new(world.network.clone()), user).await.expect("a login");
    assert_eq!(tokens.status(), 200, "{tokens:?}");
    tokens
}

/// A client that has registered itself, and through which `user` has just logged in.
async fn used(world: &World, user: &str) -> (OAuthClient, Answer) {
    let client = registered(world).await;
    let tokens = log_in(world, &client, user).await;
    (client, tokens)
}

async fn is_known(client: &OAuthClient) -> bool {
    Outcome::of(nothing(client)).await == Outcome::Known
}

#[tokio::test(start_paused = true)]
async fn one_account_that_uses_as_many_registrations_as_there_may_be_keeps_no_newcomer_out() {
    let world = World::with(room_for(300));
    let mut clients = Vec::new();
    for _ in 0..300 {
        clients.push(used(&world, "mallory").await);
    }
    // A hundredth of all is the share of one user.
    assert_eq!(world.stored().await, 3);
    let (newcomer, tokens) = used(&world, "bob").await;
    assert!(is_known(&newcomer).await);
    assert_eq!(newcomer.refresh(tokens.refresh_token()).await.expect("an answer").status(), 200);
    for (client, tokens) in &clients[297..] {
        let answer = client.refresh(tokens.refresh_token()).await.expect("an answer");
        assert_eq!(answer.status(), 200, "the most recently used are that user's share");
    }
    assert!(!is_known(&clients[296].0).await);
}

#[tokio::test(start_paused = true)]
async fn by_default_one_account_has_a_hundred_registrations_and_what_belongs_to_others_is_forgotten() {
    let world = World::new();
    for _ in 0..110 {
        used(&world, "mallory").await;
    }
    assert_eq!(world.stored().await, 100);
    let rows = |table| world.rows.count(table);
    assert_eq!(rows(collections::SESSIONS).await.expect("memory"), 100, "no session without its client");
    assert_eq!(rows(collections::USERS).await.expect("memory"), 101, "one for each client, and the list of them");
}

#[tokio::test(start_paused = true)]
async fn a_user_who_exceeds_the_share_ends_no_client_through_which_another_user_has_a_session() {
    let world = World::with(room_for(200));
    let (shared, _) = used(&world, "mallory").await;
    let others = log_in(&world, &shared, "bob").await;
    for _ in 0..5 {
        used(&world, "mallory").await;
    }
    assert_eq!(world.stored().await, 3, "two of one user, and the one that is shared");
    let others = shared.refresh(others.refresh_token()).await.expect("an answer");
    assert_eq!(others.status(), 200);
    // Once the other user has left, it counts as one of those that have no session.
    shared.revoke(others.refresh_token()).await.expect("an answer");
    log_in(&world, &shared, "mallory").await;
    for _ in 0..2 {
        used(&world, "mallory").await;
    }
    assert!(!is_known(&shared).await);
    assert_eq!(world.stored().await, 2);
}

#[tokio::test(start_paused = true)]
async fn two_accounts_that_share_their_clients_have_two_shares_and_no_more() {
    let world = World::with(room_for(200));
    for _ in 0..20 {
        let (client, _) = used(&world, "mallory").await;
        log_in(&world, &client, "trudy").await;
    }
    assert!(world.stored().await <= 4, "{}", world.stored().await);
}

#[tokio::test(start_paused = true)]
async fn a_user_with_too_many_clients_has_no_session_left_through_one_that_another_user_keeps() {
    let world = World::with(room_for(200));
    let (shared, mallorys) = used(&world, "mallory").await;
    let trudys = log_in(&world, &shared, "trudy").await;
    for _ in 0..2 {
        used(&world, "mallory").await;
    }
    let status = async |tokens: &Answer| shared.refresh(tokens.refresh_token()).await.expect("an answer").status();
    assert_eq!((status(&mallorys).await.as_u16(), status(&trudys).await.as_u16()), (400, 200));
}

#[tokio::test(start_paused = true)]
async fn the_least_recently_used_client_without_a_living_session_makes_room() {
    let world = World::with(room_for(4));
    let mut clients = Vec::new();
    for user in ["ada", "bob", "carol", "dan"] {
        clients.push(used(&world, user).await);
        world.clock.advance(Duration::from_secs(1));
    }
    for left in [2, 1] {
        let (client, tokens) = &clients[left];
        client.revoke(tokens.refresh_token()).await.expect("an answer");
    }
    let (fifth, _) = used(&world, "erin").await;
    let known = async |number: usize| is_known(&clients[number].0).await;
    assert!(known(0).await && !known(1).await && known(2).await && known(3).await && is_known(&fifth).await);
    used(&world, "frank").await;
    assert!(known(0).await && !known(2).await && known(3).await && is_known(&fifth).await);
    let refused = world.register(&metadata("https://app.example.test/callback")).await;
    assert_eq!((refused.status().as_u16(), refused.error()), (503, Some("temporarily_unavailable")), "all are in use");
}

#[tokio::test(start_paused = true)]
async fn one_account_has_a_hundred_consents_remembered_and_takes_none_from_others() {
    let world = World::new();
    let client = world.client(CLIENT).await.with_redirect_uri(REDIRECT_URI);
    let mut bobs = Browser::new(world.network.clone());
    world.idp.set_user("bob", Map::new());
    client.log_in(&mut bobs, "bob").await.expect("a login");
    for _ in 0..110 {
        log_in(&world, &client, "mallory").await;
    }
    assert_eq!(world.rows.count(collections::CONSENTS).await.expect("memory"), 101);
    let url = client.authorization().expect("an endpoint").url();
    let arrived = bobs.press_through(&url, &[("user", "bob")]).await.expect("pages");
    assert!(arrived.left().is_ok(), "bob is not asked again");
}

/// The key set of the identity provider, by whose keys these clients sign.
async fn keys(world: &World) -> Value {
    let request = Request::get(world.idp.endpoint_url(Endpoint::KeySet)).body(Bytes::new());
    let keys = world.network.send(request.expect("a request")).await.expect("keys");
    serde_json::from_slice(keys.body()).expect("JSON")
}

/// A client that has registered itself, with keys.
async fn signing(world: &World) -> String {
    let signing = with(&metadata(REDIRECT_URI), "token_endpoint_auth_method", &json!("private_key_jwt"));
    world.register(&with(&signing, "jwks", &keys(world).await)).await.text("client_id").to_owned()
}

/// What is answered to requests of the client `id` with the assertions of these numbers: to how many 200, and to how many 429.
async fn signed(world: &World, id: &str, numbers: Range<usize>) -> [usize; 2] {
    let client = world.client(id).await;
    let mut answers = [0; 2];
    for number in numbers {
        let token = world.idp.token(id).with_header("typ", "JWT").with_claim("iss", id).with_audience(ISSUER);
        let token = token.with_lifetime(Duration::from_mins(1)).with_claim("jti", format!("{id} {number}"));
        let call = client.revoke("nothing").without_credentials().with("client_assertion_type", JWT_BEARER);
        let answer = call.with("client_assertion", &token.jwt()).await.expect("an answer");
        match (answer.status().as_u16(), answer.error()) {
            (200, None) => answers[0] += 1,
            (429, Some("temporarily_unavailable")) => {
                assert!(answer.headers().contains_key("retry-after"));
                answers[1] += 1;
            }
            other => unreachable!("{other:?}"),
        }
    }
    answers
}

#[tokio::test(start_paused = true)]
async fn the_assertions_remembered_of_an_unused_client_are_few() {
    let world = World::new();
    let (first, second) = (signing(&world).await, signing(&world).await);
    assert_eq!(signed(&world, &first, 0..50).await, [20, 30]);
    assert_eq!(world.rows.count(collections::REPLAYS).await.expect("memory"), 20);
    assert_eq!(signed(&world, &second, 0..20).await, [20, 0], "another client has its own");
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(signed(&world, &first, 50..52).await, [1, 1], "after a while there is room for another one");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_users_log_in_through_may_sign_a_thousand_requests_at_once_and_no_client_without_end() {
    let world = World::new();
    let keys = keys(&world).await;
    world.host.says(&document());
    let client = world.client(CLIENT).await.with_redirect_uri(REDIRECT_URI);
    log_in(&world, &client, "alice").await;
    // From now on it signs.
    let signing = with(&document(), "token_endpoint_auth_method", &json!("private_key_jwt"));
    world.host.says(&with(&signing, "jwks", &keys));
    world.clock.advance(Duration::from_mins(11));
    assert_eq!(signed(&world, CLIENT, 0..1100).await, [1000, 100]);
    assert_eq!(world.rows.count(collections::REPLAYS).await.expect("memory"), 1000);
}
