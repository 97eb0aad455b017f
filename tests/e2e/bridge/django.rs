//! A third provider, made with django-oauth-toolkit: metadata in two documents that complete each other, and a consent page of its own.

use std::time::Duration;

use portcullis_test_support::{Browser, OAuthClient};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{
    server::{Application, Place},
    user::browser,
};
use crate::harness::{DjangoOauthToolkit, call, tool_text};

/// How many seconds a token of the provider lives.
const LIFE: u32 = 2;

const APPLICATION: Application = Application {
    client_id: "upstream",
    client_secret: "upstream-secret",
    scopes: "openid",
    parameter: ("login_hint", "alice"),
};

/// The button of the provider's consent page.
const AUTHORIZE: (&str, &str) = ("allow", "Authorize");

#[tokio::test]
async fn users_of_django_oauth_toolkit_log_in_and_their_tokens_are_refreshed_and_revoked_there() {
    let place = Place::new();
    let provider = DjangoOauthToolkit::start(&place.callback(), LIFE).await;
    let minutes = Duration::from_mins(10);
    let site = place.open_with(&provider.issuer, APPLICATION, |config| config.with_access_token_ttl(minutes)).await;
    let client = site.client().await;

    let authorization = client.authorization().expect("an endpoint");
    let mut browser = browser().with_stop_at(OAuthClient::REDIRECT_URI);
    let answer = browser.press_through(&authorization.url(), &[Browser::APPROVE, AUTHORIZE]).await.expect("pages");
    let code = authorization.code(&answer.left().expect("a redirection")).expect("a code");
    let tokens = client.redeem(&authorization, &code).await.expect("a response");

    let ask = async |tool: &str, token: &str| {
        call(&site.url, tool, &json!({})).bearer_auth(token).send().await.expect("a response")
    };
    let user: Value = serde_json::from_str(&tool_text(ask("whoami", tokens.access_token()).await).await).expect("JSON");
    assert_eq!(user["issuer"], provider.issuer);
    for _ in 0..2 {
        sleep(Duration::from_secs(LIFE.into()) + Duration::from_millis(100)).await;
        let profile = tool_text(ask("upstream", tokens.access_token()).await).await;
        let profile: Value = serde_json::from_str(&profile).expect("JSON");
        assert_eq!(profile["sub"], user["subject"], "its refresh tokens are rotated");
    }
    assert_eq!(provider.count("POST /o/token/ 4"), 0);

    assert_eq!(client.revoke(tokens.refresh_token()).await.expect("a response").status(), 200);
    assert_eq!(ask("whoami", tokens.access_token()).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(site.bridge.shutdown().await, 0);
    assert_eq!(provider.count("POST /o/revoke_token/ 200"), 1, "the grant at the provider has ended, too");
}
