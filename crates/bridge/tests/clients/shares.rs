//! Limits per user and per client in shared collections.

use portcullis_bridge::collections;
use std::{ops::Range, time::Duration};

use bytes::Bytes;
use http::Request;
use portcullis_bridge::{BridgeConfig, RegistrationPolicy};
use portcullis_store::Store as _;
use portcullis_test_support::{Answer, Browser, Endpoint, OAuthClient};
use serde_json::{Map, Value, json};

use crate::{
    document_host::{CLIENT, REDIRECT_URI, document},
    fixture::{Fixture, ISSUER, Outcome, metadata, nothing, with},
};

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

fn room_for(max: u64) -> impl FnOnce(BridgeConfig) -> BridgeConfig {
    move |config| config.with_registration(RegistrationPolicy::new().with_max_clients(max))
}

async fn registered(fixture: &Fixture) -> OAuthClient {
    let mut client = fixture.client("").await;
    let answer = client.register(&client.registration()).await.expect("a response");
    assert_eq!(answer.status(), 201, "{answer:?}");
    client
}

async fn log_in(fixture: &Fixture, client: &OAuthClient, user: &str) -> Answer {
    fixture.idp.set_user(user, Map::new());
    let tokens = client.log_in(&mut Browser::new(fixture.network.clone()), user).await.expect("a login");
    assert_eq!(tokens.status(), 200, "{tokens:?}");
    tokens
}

/// Returns a registered client after a login of `user`.
async fn used(fixture: &Fixture, user: &str) -> (OAuthClient, Answer) {
    let client = registered(fixture).await;
    let tokens = log_in(fixture, &client, user).await;
    (client, tokens)
}

async fn is_known(client: &OAuthClient) -> bool {
    Outcome::of(nothing(client)).await == Outcome::Known
}

#[tokio::test(start_paused = true)]
async fn one_account_that_uses_as_many_registrations_as_there_may_be_keeps_no_newcomer_out() {
    let fixture = Fixture::with(room_for(300));
    let mut clients = Vec::new();
    for _ in 0..300 {
        clients.push(used(&fixture, "mallory").await);
    }
    // One user has a hundredth of all.
    assert_eq!(fixture.stored().await, 3);
    let (newcomer, tokens) = used(&fixture, "bob").await;
    assert!(is_known(&newcomer).await);
    assert_eq!(newcomer.refresh(tokens.refresh_token()).await.expect("a response").status(), 200);
    for (client, tokens) in &clients[297..] {
        let answer = client.refresh(tokens.refresh_token()).await.expect("a response");
        assert_eq!(answer.status(), 200, "the most recently used are that user's share");
    }
    assert!(!is_known(&clients[296].0).await);
}

#[tokio::test(start_paused = true)]
async fn by_default_one_account_has_a_hundred_registrations_and_what_belongs_to_others_is_forgotten() {
    let fixture = Fixture::new();
    for _ in 0..110 {
        used(&fixture, "mallory").await;
    }
    assert_eq!(fixture.stored().await, 100);
    let rows = |table| fixture.rows.count(table);
    assert_eq!(rows(collections::SESSIONS).await.expect("memory"), 100, "no session without its client");
    assert_eq!(rows(collections::USERS).await.expect("memory"), 101, "one for each client, and the list of them");
}

#[tokio::test(start_paused = true)]
async fn a_user_who_exceeds_the_share_ends_no_client_through_which_another_user_has_a_session() {
    let fixture = Fixture::with(room_for(200));
    let (shared, _) = used(&fixture, "mallory").await;
    let others = log_in(&fixture, &shared, "bob").await;
    for _ in 0..5 {
        used(&fixture, "mallory").await;
    }
    assert_eq!(fixture.stored().await, 3, "two of one user, and the one that is shared");
    let others = shared.refresh(others.refresh_token()).await.expect("a response");
    assert_eq!(others.status(), 200);
    // When the session of the other user has ended, it counts as a client without sessions.
    shared.revoke(others.refresh_token()).await.expect("a response");
    log_in(&fixture, &shared, "mallory").await;
    for _ in 0..2 {
        used(&fixture, "mallory").await;
    }
    assert!(!is_known(&shared).await);
    assert_eq!(fixture.stored().await, 2);
}

#[tokio::test(start_paused = true)]
async fn two_accounts_that_share_their_clients_have_two_shares_and_no_more() {
    let fixture = Fixture::with(room_for(200));
    for _ in 0..20 {
        let (client, _) = used(&fixture, "mallory").await;
        log_in(&fixture, &client, "trudy").await;
    }
    assert!(fixture.stored().await <= 4, "{}", fixture.stored().await);
}

#[tokio::test(start_paused = true)]
async fn the_session_of_a_user_beyond_the_client_limit_ends_although_another_user_keeps_the_client() {
    let fixture = Fixture::with(room_for(200));
    let (shared, mallorys) = used(&fixture, "mallory").await;
    let trudys = log_in(&fixture, &shared, "trudy").await;
    for _ in 0..2 {
        used(&fixture, "mallory").await;
    }
    let status = async |tokens: &Answer| shared.refresh(tokens.refresh_token()).await.expect("a response").status();
    assert_eq!((status(&mallorys).await.as_u16(), status(&trudys).await.as_u16()), (400, 200));
}

#[tokio::test(start_paused = true)]
async fn the_least_recently_used_client_without_a_living_session_makes_room() {
    let fixture = Fixture::with(room_for(4));
    let mut clients = Vec::new();
    for user in ["ada", "bob", "carol", "dan"] {
        clients.push(used(&fixture, user).await);
        fixture.clock.advance(Duration::from_secs(1));
    }
    for left in [2, 1] {
        let (client, tokens) = &clients[left];
        client.revoke(tokens.refresh_token()).await.expect("a response");
    }
    let (fifth, _) = used(&fixture, "erin").await;
    let known = async |number: usize| is_known(&clients[number].0).await;
    assert!(known(0).await && !known(1).await && known(2).await && known(3).await && is_known(&fifth).await);
    used(&fixture, "frank").await;
    assert!(known(0).await && !known(2).await && known(3).await && is_known(&fifth).await);
    let refused = fixture.register(&metadata("https://app.example.test/callback")).await;
    assert_eq!((refused.status().as_u16(), refused.error()), (503, Some("temporarily_unavailable")), "all are in use");
}

#[tokio::test(start_paused = true)]
async fn one_account_has_a_hundred_consents_remembered_and_takes_none_from_others() {
    let fixture = Fixture::new();
    let client = fixture.client(CLIENT).await.with_redirect_uri(REDIRECT_URI);
    let mut bobs = Browser::new(fixture.network.clone());
    fixture.idp.set_user("bob", Map::new());
    client.log_in(&mut bobs, "bob").await.expect("a login");
    for _ in 0..110 {
        log_in(&fixture, &client, "mallory").await;
    }
    assert_eq!(fixture.rows.count(collections::CONSENTS).await.expect("memory"), 101);
    let url = client.authorization().expect("an endpoint").url();
    let arrived = bobs.press_through(&url, &[("user", "bob")]).await.expect("pages");
    assert!(arrived.left().is_ok(), "bob is not asked again");
}

/// Returns the key set of the identity provider, whose keys sign the assertions.
async fn keys(fixture: &Fixture) -> Value {
    let request = Request::get(fixture.idp.endpoint_url(Endpoint::KeySet)).body(Bytes::new());
    let keys = fixture.network.send(request.expect("a request")).await.expect("keys");
    serde_json::from_slice(keys.body()).expect("JSON")
}

/// Returns a registered client with keys.
async fn signing(fixture: &Fixture) -> String {
    let signing = with(&metadata(REDIRECT_URI), "token_endpoint_auth_method", &json!("private_key_jwt"));
    fixture.register(&with(&signing, "jwks", &keys(fixture).await)).await.text("client_id").to_owned()
}

/// Returns how many requests of the client `id` with these assertions get 200, and how many 429.
async fn signed(fixture: &Fixture, id: &str, numbers: Range<usize>) -> [usize; 2] {
    let client = fixture.client(id).await;
    let mut answers = [0; 2];
    for number in numbers {
        let token = fixture.idp.token(id).with_header("typ", "JWT").with_claim("iss", id).with_audience(ISSUER);
        let token = token.with_lifetime(Duration::from_mins(1)).with_claim("jti", format!("{id} {number}"));
        let call = client.revoke("nothing").without_credentials().with("client_assertion_type", JWT_BEARER);
        let answer = call.with("client_assertion", &token.jwt()).await.expect("a response");
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
    let fixture = Fixture::new();
    let (first, second) = (signing(&fixture).await, signing(&fixture).await);
    assert_eq!(signed(&fixture, &first, 0..50).await, [20, 30]);
    assert_eq!(fixture.rows.count(collections::REPLAYS).await.expect("memory"), 20);
    assert_eq!(signed(&fixture, &second, 0..20).await, [20, 0], "another client has its own");
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(signed(&fixture, &first, 50..52).await, [1, 1], "after a while there is room for another one");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_users_log_in_through_may_sign_a_thousand_requests_at_once_and_no_client_without_end() {
    let fixture = Fixture::new();
    let keys = keys(&fixture).await;
    fixture.host.says(&document());
    let client = fixture.client(CLIENT).await.with_redirect_uri(REDIRECT_URI);
    log_in(&fixture, &client, "alice").await;
    // From now on, the client signs.
    let signing = with(&document(), "token_endpoint_auth_method", &json!("private_key_jwt"));
    fixture.host.says(&with(&signing, "jwks", &keys));
    fixture.clock.advance(Duration::from_mins(11));
    assert_eq!(signed(&fixture, CLIENT, 0..1100).await, [1000, 100]);
    assert_eq!(fixture.rows.count(collections::REPLAYS).await.expect("memory"), 1000);
}
