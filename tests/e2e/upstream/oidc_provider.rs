//! A certified provider that rotates refresh tokens, and ends a grant when one is used twice.

use std::{collections::HashMap, env, fs, time::Duration};

use portcullis::{refresh::TokenSet, types::Reason};
use reqwest::{Client, Response, StatusCode, header};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::server::{Application, Server};
use crate::harness::{Format, Provider, free_port};

const APP: Application =
    Application { client_id: "upstream", client_secret: "upstream-secret", scopes: "openid offline_access email" };

async fn log_in(server: &Server) -> TokenSet {
    server.log_in(APP, &[("prompt", "consent"), ("login_hint", "alice")], HashMap::new()).await
}

/// A provider whose tokens live for `lifetime` seconds, and a server whose user has logged in there.
async fn start(token_life: u32) -> (Provider, Server, TokenSet) {
    let provider = Provider::start_with(Format::Opaque, 0, token_life).await;
    let server = Server::start(&provider.issuer, APP).await;
    let tokens = log_in(&server).await;
    (provider, server, tokens)
}

async fn until_expired(life: u32) {
    sleep(Duration::from_secs(life.into()) + Duration::from_millis(100)).await;
}

fn refresh_token(tokens: &TokenSet) -> &str {
    tokens.refresh_token().expect("a refresh token").expose_secret()
}

/// The user has to log in again, and the answer says where.
fn assert_login_needed(server: &Server, answer: &Response) {
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    let challenge = format!("Bearer error=\"invalid_token\", resource_metadata=\"{}\"", server.metadata());
    assert_eq!(answer.headers()[header::WWW_AUTHENTICATE], challenge);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_callers_at_an_expired_token_are_one_rotation_each_time_and_none_sees_a_dead_one() {
    const LIFE: u32 = 4;
    let (provider, server, _) = start(LIFE).await;
    let profile: Value = server.ask().await.json().await.expect("JSON");
    assert_eq!((&profile["sub"], &profile["email"]), (&json!("alice"), &json!("alice@example.test")));
    for round in 1..=3 {
        until_expired(LIFE).await;
        let answers = server.ask_at_once(1_000).await;
        assert!(answers.iter().all(|status| *status == StatusCode::OK), "round {round}: {answers:?}");
        assert_eq!(provider.count("GET /me 401").await, 0, "round {round}");
    }
    let generation = server.token().await.expect("a token").generation().number();
    server.refresher.shutdown().await;
    assert!(generation >= 3);
    // The first is the login.
    let exchanges = provider.count("POST /token ").await - 1;
    assert_eq!((exchanges, provider.count("POST /token 200").await - 1), (exchanges, exchanges));
    assert!((generation..=generation + 1).contains(&(exchanges as u64)), "{exchanges} for {generation}");
}

#[tokio::test]
async fn a_grant_that_is_withdrawn_at_the_provider_is_a_401_at_once_and_is_never_tried_again() {
    let (provider, server, tokens) = start(300).await;
    assert_eq!(server.ask().await.status(), StatusCode::OK);
    assert_eq!(server.ask().await.status(), StatusCode::OK);
    assert_eq!(server.verified(), 1, "remembered");
    provider.revoke_as("upstream", refresh_token(&tokens)).await;

    // The handler finds out: the token is refused, and so is the refresh.
    assert_login_needed(&server, &server.ask().await);
    assert_eq!((server.verified(), provider.count("POST /token 400").await), (1, 1));
    // The context is no longer cached, and the provider is not called.
    let asked = provider.count("GET /me").await;
    for _ in 0..5 {
        assert_login_needed(&server, &server.ask().await);
    }
    assert!(server.verified() > 1);
    assert_eq!((provider.count("POST /token ").await, provider.count("GET /me").await), (2, asked));
    assert_eq!(server.token().await.expect_err("no grant").reason(), Reason::GrantEnded);
}

#[tokio::test]
async fn a_refresh_token_that_another_client_reuses_ends_the_grant() {
    const LIFE: u32 = 2;
    let (provider, server, tokens) = start(LIFE).await;
    until_expired(LIFE).await;
    assert_eq!(server.ask().await.status(), StatusCode::OK, "the second refresh token is in use");

    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh_token(&tokens))];
    let request = Client::new().post(format!("{}/token", provider.issuer)).form(&form);
    let answer = request.basic_auth(APP.client_id, Some(APP.client_secret)).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    let refusal: Value = answer.json().await.expect("JSON");
    assert_eq!(refusal["error"], "invalid_grant");

    until_expired(LIFE).await;
    assert_login_needed(&server, &server.ask().await);
    assert_eq!(server.token().await.expect_err("no grant").reason(), Reason::GrantEnded);
    let refused = provider.count("POST /token 400").await;
    assert_login_needed(&server, &server.ask().await);
    assert_eq!((refused, provider.count("POST /token 400").await), (2, 2), "by hand, and once by the server");
}

#[tokio::test]
async fn a_provider_that_is_stopped_is_a_503_and_works_when_it_is_back() {
    const LIFE: u32 = 2;
    let (port, state) = (free_port(), env::temp_dir().join(format!("portcullis-oidc-{:x}", rand::random::<u64>())));
    let provider = Provider::start_durable(port, LIFE, &state).await;
    let server = Server::start(&provider.issuer, APP).await;
    log_in(&server).await;
    assert_eq!(server.ask().await.status(), StatusCode::OK);
    provider.kill().await;

    until_expired(LIFE).await;
    for _ in 0..3 {
        assert_unavailable(&server.ask().await);
    }
    let provider = Provider::start_durable(port, LIFE, &state).await;
    let give_up = Instant::now() + Duration::from_secs(60);
    loop {
        let answer = server.ask().await;
        if answer.status() == StatusCode::OK {
            break;
        }
        assert_unavailable(&answer);
        assert!(Instant::now() < give_up, "it does not work again");
        sleep(Duration::from_millis(200)).await;
    }
    server.refresher.shutdown().await;
    assert_eq!(provider.count("POST /token 4").await, 0, "nothing was presented twice");
    assert!(provider.count("POST /token 200").await >= 1);
    fs::remove_file(state).expect("the provider's file");
}

fn assert_unavailable(answer: &Response) {
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    let seconds = answer.headers()[header::RETRY_AFTER].to_str().expect("text").parse::<u64>().expect("seconds");
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert!(!answer.headers().contains_key(header::WWW_AUTHENTICATE), "no login is demanded");
}
