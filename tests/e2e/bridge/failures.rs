//! What clients are told when the provider is gone, or has forgotten its user, and what survives a database that cannot be written.

use std::time::Duration;

use portcullis_test_support::OAuthClient;
use reqwest::{Response, StatusCode, header};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{
    server::{APPLICATION, Place, Site},
    user::tokens,
};
use crate::harness::{Provider, call, free_port, tool_text};

/// How many seconds a token of the provider lives.
const LIFE: u32 = 2;

async fn start() -> (Provider, u16, Site) {
    let (place, port) = (Place::new(), free_port());
    let provider = Provider::start_with_pages_at(("127.0.0.1", port), &place.callback(), LIFE).await;
    let minutes = Duration::from_mins(10);
    let site = place.open_with(&provider.issuer, APPLICATION, |config| config.with_access_token_ttl(minutes)).await;
    (provider, port, site)
}

async fn until_expired() {
    sleep(Duration::from_secs(LIFE.into()) + Duration::from_millis(100)).await;
}

async fn upstream(site: &Site, token: &str) -> Response {
    call(&site.url, "upstream", &json!({})).bearer_auth(token).send().await.expect("an answer")
}

#[tokio::test]
async fn b12_what_only_a_login_can_mend_is_a_401_before_the_tool_is_called_and_an_outage_is_a_503() {
    let (provider, port, site) = start().await;
    let client: OAuthClient = site.client().await;
    let answer = tokens(&client, "alice").await;
    assert_eq!(upstream(&site, answer.access_token()).await.status(), StatusCode::OK);

    provider.kill().await;
    until_expired().await;
    let outage = upstream(&site, answer.access_token()).await;
    assert_eq!(outage.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(outage.headers().contains_key(header::RETRY_AFTER));
    assert!(!outage.headers().contains_key(header::WWW_AUTHENTICATE), "no login is demanded");
    let refresh = client.refresh(answer.refresh_token()).await.expect("an answer");
    assert_eq!(refresh.status(), 200, "our own tokens are none of its business");

    // It is back, and its cache is empty.
    let _provider =
        Provider::start_with_pages_at(("127.0.0.1", port), &format!("{}/callback", site.issuer), LIFE).await;
    let give_up = Instant::now() + Duration::from_secs(60);
    let refusal = loop {
        let answer = upstream(&site, refresh.access_token()).await;
        if answer.status() != StatusCode::SERVICE_UNAVAILABLE {
            break answer;
        }
        assert!(Instant::now() < give_up, "it never asks again");
        sleep(Duration::from_millis(200)).await;
    };
    assert_eq!(refusal.status(), StatusCode::UNAUTHORIZED, "and no answer of the tool within a 200");
    let challenge = refusal.headers()[header::WWW_AUTHENTICATE].to_str().expect("text");
    assert!(challenge.starts_with("Bearer error=\"invalid_token\""), "{challenge}");
    assert!(challenge.contains("resource_metadata="), "{challenge}");
    let over = client.refresh(refresh.refresh_token()).await.expect("an answer");
    assert_eq!(over.error(), Some("invalid_grant"), "so the client logs in, and does not refresh for ever");
    assert_eq!(upstream(&site, tokens(&client, "alice").await.access_token()).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn b16_a_refresh_token_that_cannot_be_written_down_is_not_lost_and_the_old_one_is_never_presented_again() {
    let (provider, _, mut site) = start().await;
    let answer = tokens(&site.client().await, "alice").await;
    until_expired().await;

    site.set_read_only(true);
    let text = tool_text(upstream(&site, answer.access_token()).await).await;
    assert!(text.contains("alice"), "the fresh token is used: {text}");
    assert_eq!(provider.count("POST /token ").await, 2, "the login, and one refresh");

    site.set_read_only(false);
    // Drained, or crashed after the save: the next process begins with what is written down.
    assert_eq!(site.bridge.shutdown().await, 0, "nothing was lost");
    site.restart().await;
    until_expired().await;
    let text = tool_text(upstream(&site, answer.access_token()).await).await;
    assert!(text.contains("alice"), "{text}");
    assert_eq!(provider.count("POST /token ").await, 3);
    assert_eq!(provider.count("POST /token 4").await, 0, "no refresh token was presented twice");
}

#[tokio::test]
async fn c09_keys_are_replaced_while_tokens_live_and_without_an_old_one_its_sessions_are_unavailable_and_nothing_else()
{
    let (_provider, _, mut site) = start().await;
    let client = site.client().await;
    let before = tokens(&client, "alice").await;

    // A new key in front: what the old one sealed is read, and what is written anew is sealed with the new one.
    site.keys().insert(0, rand::random());
    site.restart().await;
    assert_eq!(upstream(&site, before.access_token()).await.status(), StatusCode::OK);
    let after = tokens(&client, "bob").await;

    // The old key is gone before its time. That is the operator's mistake: no client is sent to log in for it.
    let old = site.keys().pop().expect("the old key");
    site.restart().await;
    assert_eq!(upstream(&site, after.access_token()).await.status(), StatusCode::OK);
    assert_eq!(upstream(&site, before.access_token()).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    let refresh = client.refresh(before.refresh_token()).await.expect("an answer");
    assert_eq!(refresh.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(tokens(&client, "alice").await.status(), StatusCode::OK);

    // It comes back, and nothing was lost.
    site.keys().push(old);
    site.restart().await;
    assert_eq!(upstream(&site, before.access_token()).await.status(), StatusCode::OK);
}
