//! [`ProfileVerifier`](portcullis_upstream::ProfileVerifier): users by their profiles.

use std::{sync::Arc, time::Duration};

use portcullis_core::{AuthError, AuthErrorKind, BearerToken, Reason, UnixTime, UserContext};
use portcullis_oauth::providers::Provider;
use portcullis_test_support::LogCapture;
use serde_json::json;
use tokio::time::sleep;
use tower::ServiceExt as _;

use crate::script::{Line, Script, bare, json, oidc};

async fn verify(script: &Script, provider: Provider, token: &str) -> Result<Arc<UserContext>, AuthError> {
    let token = BearerToken::issued(token).expect("token");
    script.client(provider).profile_verifier().oneshot(token).await
}

#[tokio::test(start_paused = true)]
async fn a_user_is_who_the_profile_says() {
    let profile = json!({"sub": "alice", "name": "Alice", "email": "alice@example.test", "groups": ["staff"]});
    let user = verify(&Script::new([json(200, &profile)]), oidc(), "at").await.expect("user");
    assert_eq!((user.issuer().as_str(), user.subject()), ("https://idp.example.test", "alice"));
    assert_eq!((user.name(), user.email()), (Some("Alice"), Some("alice@example.test")));
    assert_eq!(user.profile()["groups"], json!(["staff"]));
    assert!(user.claims().is_empty() && user.scopes().is_empty() && user.expires_at().is_none());
}

#[tokio::test(start_paused = true)]
async fn roles_of_keycloak_are_claims() {
    // {"sub":"mary","exp":1900000000,"scope":"openid","realm_access":{"roles":["analyst"]}}
    let token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJtYXJ5IiwiZXhwIjoxOTAwMDAwMDAwLCJzY29wZSI6Im9wZW5pZCIsInJlYWxtX2FjY2VzcyI6eyJyb2xlcyI6WyJhbmFseXN0Il19fQ.c2ln";
    let keycloak = Provider::keycloak("https://sso.example.test", "staff").expect("keycloak");
    let profile = json!({"sub": "mary", "preferred_username": "mary"});
    let user = verify(&Script::new([json(200, &profile)]), keycloak, token).await.expect("user");
    assert_eq!(user.claims()["realm_access"], json!({"roles": ["analyst"]}));
    assert_eq!((user.username(), user.scopes().to_string().as_str()), (Some("mary"), "openid"));
    assert_eq!(user.expires_at(), Some(UnixTime::from_secs(1_900_000_000)));
}

#[tokio::test(start_paused = true)]
async fn what_github_keeps_elsewhere_is_looked_up_there() {
    let profile = json!({"id": 7, "login": "octocat", "email": null});
    let emails = json!([{"email": "octocat@example.test", "primary": true, "verified": true}]);
    let script = Script::new([json(200, &profile), json(200, &emails)]);
    let user = verify(&script, Provider::github(), "ghu_1").await.expect("user");
    assert_eq!((user.subject(), user.username(), user.email()), ("7", Some("octocat"), Some("octocat@example.test")));
    assert_eq!(script.paths(), ["/user", "/user/emails"]);
    let script = Script::new([json(200, &profile), bare(404)]);
    assert_eq!(verify(&script, Provider::github(), "ghu_1").await.expect("user").email(), None);
}

#[tokio::test(start_paused = true)]
async fn a_failing_supplement_costs_its_members_alone_and_is_logged_once() {
    let profile = || json(200, &json!({"id": 7, "login": "octocat", "email": null}));
    let emails = json(200, &json!([{"email": "octocat@example.test", "primary": true, "verified": true}]));
    let page = Line::Answer(200, &[("content-type", "text/html")], bytes::Bytes::from_static(b"<h1>Maintenance</h1>"));
    for failure in [bare(500), bare(429), page] {
        let log = LogCapture::of_this_thread();
        let script = Script::new([profile(), failure.clone(), profile(), failure.clone(), profile(), emails.clone()]);
        let client = script.client(Provider::github());
        let mut addresses = Vec::new();
        for token in ["ghu_1", "ghu_2", "ghu_3"] {
            let token = BearerToken::issued(token).expect("token");
            let user = client.profile_verifier().oneshot(token).await.expect("the profile is known");
            addresses.push(user.email().map(str::to_owned));
            // Longer than the pause of the circuit breaker.
            sleep(Duration::from_secs(400)).await;
        }
        assert_eq!(addresses, [None, None, Some("octocat@example.test".to_owned())], "{failure:?}");
        assert_eq!(log.lines("further members of a profile").len(), 1, "{failure:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_a_token_that_the_provider_refuses_is_invalid() {
    let dead = verify(&Script::new([bare(401)]), oidc(), "at").await.expect_err("dead");
    assert_eq!(dead.reason(), Reason::Inactive);
    let salesforce = Provider::salesforce("login.salesforce.com").expect("salesforce");
    let body = Line::Answer(403, &[], bytes::Bytes::from_static(b"Bad_OAuth_Token"));
    assert_eq!(verify(&Script::new([body]), salesforce, "at").await.expect_err("dead").reason(), Reason::Inactive);
    for line in [bare(403), bare(404), bare(429), bare(500), json(200, &json!({})), Line::Silence] {
        let error = verify(&Script::new([line.clone()]), oidc(), "at").await.expect_err("not known");
        assert_eq!(error.kind(), AuthErrorKind::Unavailable, "{line:?}");
    }
    let profile = json(200, &json!({"id": 7, "login": "octocat"}));
    let error = verify(&Script::new([profile, bare(401)]), Provider::github(), "ghu_1").await.expect_err("dead by now");
    assert_eq!(error.reason(), Reason::Inactive);
}

#[tokio::test(start_paused = true)]
async fn a_failing_endpoint_gets_one_call_per_window_and_holds_up_no_refresh() {
    let tokens = json!({"access_token": "at-1", "token_type": "Bearer", "expires_in": 60});
    let script = Script::new([bare(503), json(200, &tokens), json(200, &json!({"sub": "alice"}))]);
    let client = script.client(oidc());
    let ask = || {
        let token = BearerToken::issued("at").expect("token");
        client.profile_verifier().oneshot(token)
    };
    ask().await.expect_err("503");
    for _ in 0..10 {
        assert_eq!(ask().await.expect_err("left alone").reason(), Reason::BackingOff);
    }
    crate::script::refresh(&client).await.expect("the token endpoint is well");
    assert_eq!(script.paths(), ["/userinfo", "/token"]);
    sleep(Duration::from_millis(1250)).await;
    ask().await.expect("well again");
}

#[tokio::test(start_paused = true)]
async fn a_provider_without_profiles_is_our_mistake() {
    let uri = http::Uri::from_static("https://idp.example.test/token");
    let provider = Provider::oidc_at("https://idp.example.test".parse().expect("issuer"), uri.clone(), uri);
    let error = verify(&Script::new([]), provider, "at").await.expect_err("no endpoint");
    assert_eq!(error.reason(), Reason::ClientRefused);
}
