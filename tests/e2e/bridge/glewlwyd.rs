//! A second provider, which shares no code with the first: an issuer with a path, `bearer` in lower case, a `nonce` that it insists on.

use std::time::Duration;

use portcullis_test_support::{Browser, OAuthClient};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{
    server::{GLEWLWYD, Place},
    user::browser,
};
use crate::harness::{Glewlwyd, call, tool_text};

/// How many seconds a token of the provider lives.
const LIFE: u32 = 2;

#[tokio::test]
async fn users_of_a_second_provider_log_in_and_their_tokens_are_refreshed_and_revoked_there() {
    let place = Place::new();
    let provider = Glewlwyd::start(&place.callback(), LIFE).await;
    let minutes = Duration::from_mins(10);
    let site = place.open_with(&provider.issuer, GLEWLWYD, |config| config.with_access_token_ttl(minutes)).await;
    let client = site.client().await;

    let authorization = client.authorization().expect("an endpoint");
    let mut browser = browser().with_stop_at(OAuthClient::REDIRECT_URI);
    for (name, value) in provider.sign_in().await {
        assert!(browser.set_cookie(&provider.issuer, &format!("{name}={value}; Path=/")));
    }
    let answer = browser.press_through(&authorization.url(), &[Browser::APPROVE]).await.expect("pages");
    let code = authorization.code(&answer.left().expect("an answer")).expect("a code");
    let tokens = client.redeem(&authorization, &code).await.expect("an answer");

    let ask = async |tool: &str, token: &str| {
        call(&site.url, tool, &json!({})).bearer_auth(token).send().await.expect("an answer")
    };
    let user: Value = serde_json::from_str(&tool_text(ask("whoami", tokens.access_token()).await).await).expect("JSON");
    assert_eq!(user["issuer"], provider.issuer);
    for _ in 0..2 {
        sleep(Duration::from_secs(LIFE.into()) + Duration::from_millis(100)).await;
        let profile = tool_text(ask("upstream", tokens.access_token()).await).await;
        let profile: Value = serde_json::from_str(&profile).expect("JSON");
        assert_eq!(profile["sub"], user["subject"], "its refresh tokens are good once");
    }

    assert_eq!(client.revoke(tokens.refresh_token()).await.expect("an answer").status(), 200);
    assert_eq!(ask("whoami", tokens.access_token()).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(site.bridge.shutdown().await, 0);
}
