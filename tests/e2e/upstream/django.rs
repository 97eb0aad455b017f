//! A third provider: an application of django-oauth-toolkit, whose metadata are two documents that complete each other.

use std::{collections::HashMap, time::Duration};

use portcullis::{refresh::TokenSet, types::Reason};
use reqwest::{Client, StatusCode, header};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tokio::time::sleep;

use super::server::{Application, Server};
use crate::harness::{DjangoOauthToolkit, REDIRECT_URI};

const LIFE: u32 = 2;

/// The application whose users need not consent.
const APP: Application = Application { client_id: "app", client_secret: "app-secret", scopes: "openid" };

async fn start() -> (DjangoOauthToolkit, Server, TokenSet) {
    let provider = DjangoOauthToolkit::start(REDIRECT_URI, LIFE).await;
    let server = Server::start(&provider.issuer, APP).await;
    let tokens = server.log_in(APP, &[("login_hint", "alice")], HashMap::new()).await;
    (provider, server, tokens)
}

async fn until_expired() {
    sleep(Duration::from_secs(LIFE.into()) + Duration::from_millis(100)).await;
}

fn refresh_token(tokens: &TokenSet) -> &str {
    tokens.refresh_token().expect("a refresh token").expose_secret()
}

async fn assert_grant_ended(server: &Server) {
    let answer = server.ask().await;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert!(answer.headers().contains_key(header::WWW_AUTHENTICATE));
    assert_eq!(server.token().await.expect_err("no grant").reason(), Reason::GrantEnded);
}

#[tokio::test]
async fn django_oauth_toolkit_is_logged_in_at_and_refreshed_once_for_all_callers() {
    let (provider, server, _) = start().await;
    let profile: Value = server.ask().await.json().await.expect("JSON");
    assert!(profile["sub"].is_string(), "{profile}");
    for round in 1..=2 {
        until_expired().await;
        let answers = server.ask_at_once(50).await;
        assert!(answers.iter().all(|status| *status == StatusCode::OK), "round {round}: {answers:?}");
        assert_eq!(provider.count("GET /o/userinfo/ 401"), 0, "round {round}");
    }
    let generation = server.token().await.expect("a token").generation().number();
    server.refresher.shutdown().await;
    assert_eq!(provider.count("POST /o/token/ 4"), 0, "no refresh token was presented twice");
    assert!(generation >= 2);
}

#[tokio::test]
async fn a_refresh_token_that_is_used_twice_at_django_oauth_toolkit_ends_the_grant() {
    let (provider, server, tokens) = start().await;
    until_expired().await;
    assert_eq!(server.ask().await.status(), StatusCode::OK, "the second refresh token is in use");

    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh_token(&tokens))];
    let request = Client::new().post(provider.endpoint("token")).form(&form);
    let answer = request.basic_auth(APP.client_id, Some(APP.client_secret)).send().await.expect("a response");
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    let refusal: Value = answer.json().await.expect("JSON");
    assert_eq!(refusal["error"], "invalid_grant");

    until_expired().await;
    assert_grant_ended(&server).await;
    let refused = provider.count("POST /o/token/ 400");
    assert_grant_ended(&server).await;
    assert_eq!((refused, provider.count("POST /o/token/ 400")), (2, 2), "by hand, and once by the server");
}

#[tokio::test]
async fn a_grant_that_is_revoked_at_django_oauth_toolkit_ends_at_the_next_refresh() {
    let (provider, server, tokens) = start().await;
    assert_eq!(server.ask().await.status(), StatusCode::OK);
    provider.revoke(APP.client_id, refresh_token(&tokens)).await;
    until_expired().await;
    assert_grant_ended(&server).await;
}
