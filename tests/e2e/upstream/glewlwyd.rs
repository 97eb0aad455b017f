//! A second provider, which shares no code with the first: an issuer with a path, `bearer` in lower case, refusals without a word.

use std::time::Duration;

use portcullis::{
    refresh::TokenSet,
    types::{AuthErrorKind, Reason},
};
use reqwest::{StatusCode, header};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tokio::time::sleep;

use super::server::{Application, Server};
use crate::harness::{Glewlwyd, REDIRECT_URI};

const LIFE: u32 = 2;

const APP: Application =
    Application { client_id: Glewlwyd::CLIENT_ID, client_secret: Glewlwyd::CLIENT_SECRET, scopes: "openid" };

async fn log_in(provider: &Glewlwyd, server: &Server) -> TokenSet {
    // Which is what a click adds.
    server.log_in(APP, &[("g_continue", "")], provider.sign_in().await).await
}

async fn until_expired() {
    sleep(Duration::from_secs(LIFE.into()) + Duration::from_millis(100)).await;
}

#[tokio::test]
async fn a_second_provider_is_logged_in_at_and_refreshed_and_its_silent_refusal_ends_the_grant() {
    let provider = Glewlwyd::start(REDIRECT_URI, LIFE).await;
    let server = Server::start(&provider.issuer, APP).await;
    log_in(&provider, &server).await;
    let profile: Value = server.ask().await.json().await.expect("JSON");
    assert!(profile["sub"].is_string(), "{profile}");
    for generation in 1..=2 {
        until_expired().await;
        let answers = server.ask_at_once(100).await;
        assert!(answers.iter().all(|status| *status == StatusCode::OK), "{answers:?}");
        assert!(server.tokens().await.expect("tokens").generation().number() >= generation);
    }

    // An empty 400, which its introspection explains.
    let tokens = server.tokens().await.expect("tokens");
    provider.revoke(tokens.refresh_token().expect("one").expose_secret()).await;
    until_expired().await;
    let answer = server.ask().await;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert!(answer.headers().contains_key(header::WWW_AUTHENTICATE));
    assert_eq!(server.token().await.expect_err("no grant").reason(), Reason::GrantEnded);
}

#[tokio::test]
async fn a_wrong_secret_of_ours_is_refused_without_a_reason_and_requires_no_login() {
    let provider = Glewlwyd::start(REDIRECT_URI, LIFE).await;
    let server = Server::start(&provider.issuer, APP).await;
    let tokens = log_in(&provider, &server).await;
    let misconfigured = Server::start(&provider.issuer, Application { client_secret: "wrong", ..APP }).await;
    misconfigured.take_over(tokens).await;
    until_expired().await;
    for _ in 0..2 {
        let answer = misconfigured.ask().await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.headers().contains_key(header::RETRY_AFTER));
        assert!(!answer.headers().contains_key(header::WWW_AUTHENTICATE), "no login is demanded");
        assert_eq!(misconfigured.token().await.expect_err("refused").kind(), AuthErrorKind::Unavailable);
    }
    // This provider takes a refresh token away that came with a wrong secret. The holder of the right one is told so.
    assert_eq!(server.token().await.expect_err("no grant").reason(), Reason::GrantEnded);
}
