//! Tokens that run out, of the provider and of the bridge, while many want one.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{
    server::{APPLICATION, Place, Site},
    user::tokens,
};
use crate::harness::{Provider, call, tool_text};

/// How many seconds a token of the provider lives.
const LIFE: u32 = 3;

/// Tokens of the bridge live longer than these stories.
async fn start() -> (Provider, Site) {
    let place = Place::new();
    let provider = Provider::start_with_pages(&place.callback(), LIFE).await;
    let minutes = Duration::from_mins(10);
    let site = place.open_with(&provider.issuer, APPLICATION, |config| config.with_access_token_ttl(minutes)).await;
    (provider, site)
}

async fn until_expired() {
    sleep(Duration::from_secs(LIFE.into()) + Duration::from_millis(100)).await;
}

/// Whom the provider takes for the user of the token that it was called with.
async fn at_the_provider(url: &str, token: &str) -> Value {
    let answer = call(url, "upstream", &json!({})).bearer_auth(token).send().await.expect("an answer");
    let profile: Value = serde_json::from_str(&tool_text(answer).await).expect("JSON");
    profile["sub"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b05_a_request_during_a_refresh_of_the_upstream_token_gets_the_fresh_one() {
    let (provider, site) = start().await;
    let answer = tokens(&site.client().await, "alice").await;
    let token = answer.access_token();
    assert_eq!(at_the_provider(&site.url, token).await, "alice");
    for round in 1..=2 {
        until_expired().await;
        // One after the other, so that most of them come when a refresh has begun.
        let late = (0..40u64).map(async |place| {
            sleep(Duration::from_millis(place)).await;
            at_the_provider(&site.url, token).await
        });
        assert!(join_all(late).await.iter().all(|user| user == "alice"), "round {round}");
        assert_eq!(provider.count("GET /me 401").await, 0, "round {round}: a tool got a dead token");
        // The login, and one refresh each time; one more if they took so long that it was time again.
        let exchanges = provider.count("POST /token ").await;
        assert!((1 + round..=1 + 2 * round).contains(&exchanges), "{exchanges} in round {round}");
    }
}

#[tokio::test]
async fn b06_a_user_who_is_remembered_never_brings_an_upstream_token_that_has_expired() {
    let (provider, site) = start().await;
    let answer = tokens(&site.client().await, "alice").await;
    for _ in 0..2 {
        // Remembered, and then the token that is remembered with them runs out.
        let known = call(&site.url, "whoami", &json!({})).bearer_auth(answer.access_token()).send().await;
        assert_eq!(known.expect("an answer").status(), 200);
        until_expired().await;
        assert_eq!(at_the_provider(&site.url, answer.access_token()).await, "alice");
    }
    assert_eq!(provider.count("GET /me 401").await, 0);
}

#[tokio::test]
async fn c04_refreshes_of_one_client_at_once_are_one_pair_and_none_is_the_providers_business() {
    let (provider, site) = start().await;
    let client = site.client().await;
    let first = tokens(&client, "alice").await;
    let at_once = join_all((0..5).map(async |_| client.refresh(first.refresh_token()).await.expect("an answer"))).await;
    assert!(at_once.iter().all(|answer| answer.status() == 200), "{at_once:?}");
    let pair = |answer: &portcullis_test_support::Answer| {
        (answer.access_token().to_owned(), answer.refresh_token().to_owned())
    };
    assert!(at_once.iter().all(|answer| pair(answer) == pair(&at_once[0])), "one pair for all");
    assert_eq!(provider.count("POST /token ").await, 1, "the login");

    // All are alive: this pair, its successor, and the grant at the provider when its own time has come.
    assert_eq!(at_the_provider(&site.url, at_once[0].access_token()).await, "alice");
    let next = client.refresh(at_once[0].refresh_token()).await.expect("an answer");
    assert_eq!(next.status(), 200);
    until_expired().await;
    assert_eq!(at_the_provider(&site.url, next.access_token()).await, "alice");
    assert_eq!(provider.count("POST /token ").await, 2);
    assert_eq!(provider.count("POST /token 4").await, 0, "the provider saw no refresh token twice");
}
