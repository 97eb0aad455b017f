//! Redemption of authorization codes.

use http::Request;
use portcullis_bridge::{Client, GrantType, RedirectUri};
use portcullis_core::Reason;
use portcullis_test_support::{Endpoint, OAuthClient};
use serde_json::json;

use crate::fixture::{APP, Fixture, ISSUER, OTHER_RESOURCE, RESOURCE, at_once};

#[tokio::test(start_paused = true)]
async fn as_01_a_code_becomes_an_access_token_and_a_refresh_token() {
    let fixture = Fixture::new().await;
    let answer = fixture.log_in().await;
    assert_eq!(answer.headers()["cache-control"], "no-store");
    assert_eq!((&answer["token_type"], &answer["scope"]), (&json!("Bearer"), &json!("mcp:read mcp:write")));
    assert!(answer.access_token().starts_with("pcat_") && answer.refresh_token().starts_with("pcrt_"));
    let user = fixture.verify(answer.access_token()).await.expect("a user");
    assert_eq!(
        (user.issuer().as_str(), user.subject(), user.client_id()),
        ("https://idp.example.test", "alice", Some(APP))
    );
}

#[tokio::test(start_paused = true)]
async fn a_code_outlives_the_process_that_issued_it() {
    let fixture = Fixture::new().await;
    let client = fixture.app().await;
    let (authorization, code) = fixture.code(&client).await;
    let restarted = fixture.another(|config| config);
    let fixture = fixture.replaced_by(restarted);
    let answer = fixture.app().await.redeem(&authorization, &code).await.expect("a response");
    let user = fixture.verify(answer.access_token()).await.expect("a user");
    assert!(user.upstream().access_token().await.is_ok(), "with all that belongs to it");
}

#[tokio::test(start_paused = true)]
async fn as_07_an_access_token_lives_for_ten_minutes_and_never_longer_than_is_told() {
    let fixture = Fixture::new().await;
    fixture.clock.advance(std::time::Duration::from_millis(300));
    let answer = fixture.log_in().await;
    let told = answer["expires_in"].as_u64().expect("seconds");
    assert!((598..=600).contains(&told), "{told}");
    fixture.pass(told);
    assert!(fixture.verify(answer.access_token()).await.is_ok(), "as long as was told");
    fixture.pass(1);
    assert_eq!(fixture.verify(answer.access_token()).await.expect_err("ended").reason(), Reason::Inactive);
}

#[tokio::test(start_paused = true)]
async fn a_reused_code_ends_its_session() {
    let fixture = Fixture::new().await;
    let client = fixture.app().await;
    let (authorization, code) = fixture.code(&client).await;
    let answer = client.redeem(&authorization, &code).await.expect("a response");
    let user = fixture.verify(answer.access_token()).await.expect("a user");
    let again = client.redeem(&authorization, &code).await.expect("a response");
    assert_eq!((again.status().as_u16(), again.error()), (400, Some("invalid_grant")));
    assert_eq!(fixture.verify(answer.access_token()).await.expect_err("ended").reason(), Reason::Inactive);
    assert!(user.revocation().is_revoked(), "who has the user already is told");
    let refreshed = client.refresh(answer.refresh_token()).await.expect("a response");
    assert_eq!(refreshed.error(), Some("invalid_grant"));
    fixture.bridge.shutdown().await;
    assert_eq!(fixture.idp.calls(Endpoint::Revocation), 1, "and the provider is told");
}

#[tokio::test(start_paused = true)]
async fn a_reused_token_ends_the_session_even_if_its_sender_disconnects_at_any_moment() {
    let fixture = Fixture::new().await;
    let client = fixture.app().await;
    for turns in 0..24 {
        let (authorization, code) = fixture.code(&client).await;
        let answer = client.redeem(&authorization, &code).await.expect("a response");
        let user = fixture.verify(answer.access_token()).await.expect("a user");
        let again = tokio::spawn(client.redeem(&authorization, &code).into_future());
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
        again.abort();
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        let works = fixture.verify(answer.access_token()).await.is_ok();
        assert_ne!(works, user.revocation().is_revoked(), "after {turns} turns: all of it has ended, or nothing");
    }
}

#[tokio::test(start_paused = true)]
async fn concurrent_redemptions_of_a_code_end_the_session() {
    let fixture = Fixture::new().await;
    let client = fixture.app().await;
    let (authorization, code) = fixture.code(&client).await;
    let answers = at_once(20, || client.redeem(&authorization, &code)).await;
    let (good, bad): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status() == 200);
    assert_eq!(good.len(), 1);
    assert!(bad.iter().all(|answer| answer.error() == Some("invalid_grant")));
    assert!(fixture.verify(good[0].access_token()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_code_without_its_verifier_and_client_gets_nothing_and_stays_valid() {
    let fixture = Fixture::new().await;
    let client = fixture.app().await;
    let (authorization, code) = fixture.code(&client).await;
    let redeem = || client.redeem(&authorization, &code);
    let other = fixture.server().await;
    let short = "too short a verifier, and with blanks";
    for (what, call, error) in [
        ("another verifier", redeem().with("code_verifier", &"x".repeat(43)), "invalid_grant"),
        ("no verifier: PKCE is never optional", redeem().without("code_verifier"), "invalid_request"),
        ("a verifier that cannot be one", redeem().with("code_verifier", short), "invalid_grant"),
        ("another client", other.redeem(&authorization, &code), "invalid_grant"),
        ("another redirect URI", redeem().with("redirect_uri", "http://127.0.0.1:33418/other"), "invalid_grant"),
        ("another resource", redeem().with("resource", OTHER_RESOURCE), "invalid_target"),
        (
            "two resources",
            redeem().with("resource", RESOURCE).with_another("resource", OTHER_RESOURCE),
            "invalid_target",
        ),
        ("two codes", redeem().with_another("code", "x"), "invalid_request"),
        ("no code", redeem().without("code"), "invalid_request"),
        ("a damaged code", redeem().with("code", &code.replace("pcac_", "pcac_A")), "invalid_grant"),
        ("a code that never was", redeem().with("code", "x"), "invalid_grant"),
        ("a code as refresh token", client.refresh(&code), "invalid_grant"),
        ("a code by another grant type", redeem().with("grant_type", "password"), "unsupported_grant_type"),
        ("no grant type", redeem().without("grant_type"), "invalid_request"),
    ] {
        let answer = call.await.expect("a response");
        assert_eq!((answer.status().as_u16(), answer.error()), (400, Some(error)), "{what}");
    }
    let answer = redeem().with("resource", RESOURCE).await.expect("a response");
    assert_eq!(answer.status(), 200, "the client itself gets its tokens");
}

#[tokio::test(start_paused = true)]
async fn the_redirect_uri_need_not_be_repeated() {
    let fixture = Fixture::new().await;
    let client = fixture.app().await;
    let (authorization, code) = fixture.code(&client).await;
    let answer = client.redeem(&authorization, &code).without("redirect_uri").await.expect("a response");
    assert_eq!(answer.status(), 200, "OAuth 2.1 does without it");
}

#[tokio::test(start_paused = true)]
async fn a_code_is_good_for_a_minute() {
    let fixture = Fixture::new().await;
    let client = fixture.app().await;
    let (authorization, code) = fixture.code(&client).await;
    fixture.pass(60);
    let answer = client.redeem(&authorization, &code).await.expect("a response");
    assert_eq!((answer.status().as_u16(), answer.error()), (400, Some("invalid_grant")));
}

#[tokio::test(start_paused = true)]
async fn a_client_is_limited_to_its_grant_types_and_scopes() {
    let redirect_uris = vec![RedirectUri::new(OAuthClient::REDIRECT_URI).expect("a redirect URI")];
    let once = Client::public("once", "No refresh", redirect_uris).with_grant_types([GrantType::AuthorizationCode]);
    let fixture = Fixture::with(|config| config.with_client(once).expect("a client")).await;
    let client = fixture.app().await.with_client_id("once");
    let (authorization, code) = fixture.code(&client).await;
    let answer = client.redeem(&authorization, &code).await.expect("a response");
    assert_eq!((answer.status().as_u16(), &answer["refresh_token"]), (200, &json!(null)));
    let refused = client.refresh("pcrt_x").await.expect("a response");
    assert_eq!((refused.status().as_u16(), refused.error()), (400, Some("unauthorized_client")));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_prove_who_it_is_gets_401() {
    let fixture = Fixture::new().await;
    let client = fixture.server().await;
    let (authorization, code) = fixture.code(&client).await;
    let redeem = || client.redeem(&authorization, &code);
    for (what, call) in [
        ("no secret", redeem().without("client_secret")),
        ("a wrong one", redeem().with("client_secret", "guess")),
        ("no such client", redeem().with("client_id", "unknown")),
        ("no credentials", redeem().without_credentials()),
    ] {
        let answer = call.await.expect("a response");
        assert_eq!((answer.status().as_u16(), answer.error()), (401, Some("invalid_client")), "{what}");
    }
    assert_eq!(redeem().await.expect("a response").status(), 200);
}

#[tokio::test(start_paused = true)]
async fn only_forms_are_read() {
    let fixture = Fixture::new().await;
    for (content_type, body, status) in [
        (Some("application/json"), r#"{"grant_type":"refresh_token"}"#, 400),
        (None, "grant_type=refresh_token", 400),
        (Some("application/x-www-form-urlencoded; charset=UTF-8"), "client_id=app&grant_type=password", 400),
        (Some("application/x-www-form-urlencoded"), &format!("client_id={}", "x".repeat(65 * 1024)), 413),
    ] {
        let request = Request::post(format!("{ISSUER}/token"));
        let request = content_type.into_iter().fold(request, |request, of| request.header("content-type", of));
        let response = fixture.send(request, body).await;
        assert_eq!(response.status(), status, "{content_type:?}");
        assert_eq!(response.headers()["cache-control"], "no-store");
        let error: serde_json::Value = serde_json::from_slice(response.body()).expect("JSON");
        assert!(error["error"].is_string(), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_failure_is_not_a_rejection() {
    let fixture = Fixture::new().await;
    let client = fixture.app().await;
    let (authorization, code) = fixture.code(&client).await;
    fixture.store.set_broken(true);
    let answer = client.redeem(&authorization, &code).await.expect("a response");
    assert_eq!((answer.status().as_u16(), answer.error()), (503, Some("temporarily_unavailable")));
    assert!(answer.headers().contains_key("retry-after"));
    fixture.store.set_broken(false);
    assert_eq!(client.redeem(&authorization, &code).await.expect("a response").status(), 200);
}
