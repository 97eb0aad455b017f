//! Redemption of authorization codes.

use std::time::Duration;

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
    fixture.clock.advance(Duration::from_millis(300));
    let answer = fixture.log_in().await;
    let told = answer["expires_in"].as_u64().expect("seconds");
    assert!((598..=600).contains(&told), "{told}");
    fixture.pass(told);
    assert!(fixture.verify(answer.access_token()).await.is_ok(), "as long as was told");
    fixture.pass(1);
    assert_eq!(fixture.verify(answer.access_token()).await.expect_err("ended").reason(), Reason::Inactive);
}

#[tokio::test(start_paused = true)]
async fn a_code_that_is_redeemed_again_within_thirty_seconds_returns_the_same_tokens_in_any_process() {
    let fixture = Fixture::new().await;
    let client = fixture.app().await;
    let (authorization, code) = fixture.code(&client).await;
    let first = client.redeem(&authorization, &code).await.expect("a response");
    let other = fixture.another(|config| config);
    let fixture = fixture.replaced_by(other);
    let client = fixture.app().await;
    let redeem = || client.redeem(&authorization, &code);
    for seconds in [0, 29, 1] {
        fixture.pass(seconds);
        for (what, call, error) in [
            ("another verifier", redeem().with("code_verifier", &"x".repeat(43)), "invalid_grant"),
            ("another client", fixture.server().await.redeem(&authorization, &code), "invalid_grant"),
            ("another resource", redeem().with("resource", OTHER_RESOURCE), "invalid_target"),
        ] {
            assert_eq!(call.await.expect("a response").error(), Some(error), "{what}");
        }
        let again = redeem().await.expect("a response");
        assert_eq!(again.access_token(), first.access_token());
        assert_eq!(again.refresh_token(), first.refresh_token());
        assert_eq!((again.status().as_u16(), &again["scope"]), (200, &first["scope"]));
    }
    assert!(fixture.verify(first.access_token()).await.is_ok(), "the session goes on");
    assert_eq!(client.refresh(first.refresh_token()).await.expect("a response").status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_repetition_after_the_access_token_expired_returns_a_new_one_with_the_same_refresh_token() {
    let fixture = Fixture::with(|config| config.with_access_token_ttl(Duration::from_secs(5))).await;
    let client = fixture.app().await;
    let (authorization, code) = fixture.code(&client).await;
    let first = client.redeem(&authorization, &code).await.expect("a response");
    fixture.pass(10);
    let again = client.redeem(&authorization, &code).await.expect("a response");
    assert_ne!(again.access_token(), first.access_token());
    assert_eq!(again.refresh_token(), first.refresh_token());
    assert!(fixture.verify(again.access_token()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_code_is_not_repeated_after_its_tokens_were_refreshed_or_if_the_grace_period_is_disabled() {
    for (grace, refreshes) in [(120, true), (0, false)] {
        let fixture = Fixture::with(|config| config.with_rotation_grace(Duration::from_secs(grace))).await;
        let client = fixture.app().await;
        let (authorization, code) = fixture.code(&client).await;
        let mut answer = client.redeem(&authorization, &code).await.expect("a response");
        fixture.pass(1);
        if refreshes {
            answer = client.refresh(answer.refresh_token()).await.expect("a response");
        }
        let again = client.redeem(&authorization, &code).await.expect("a response");
        assert_eq!((again.status().as_u16(), again.error()), (400, Some("invalid_grant")));
        assert!(fixture.verify(answer.access_token()).await.is_err(), "the session has ended");
    }
}

#[tokio::test(start_paused = true)]
async fn a_code_that_is_reused_after_the_grace_period_ends_its_session() {
    let fixture = Fixture::new().await;
    let client = fixture.app().await;
    let (authorization, code) = fixture.code(&client).await;
    let answer = client.redeem(&authorization, &code).await.expect("a response");
    let user = fixture.verify(answer.access_token()).await.expect("a user");
    fixture.pass(31);
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
        fixture.pass(31);
        let again = tokio::spawn(client.redeem(&authorization, &code).into_future());
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
        again.abort();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let works = fixture.verify(answer.access_token()).await.is_ok();
        assert_ne!(works, user.revocation().is_revoked(), "after {turns} turns: all of it has ended, or nothing");
    }
}

#[tokio::test(start_paused = true)]
async fn concurrent_redemptions_of_a_code_return_the_same_tokens() {
    let fixture = Fixture::new().await;
    let client = fixture.app().await;
    let (authorization, code) = fixture.code(&client).await;
    let answers = at_once(20, || client.redeem(&authorization, &code)).await;
    for answer in &answers {
        assert_eq!(
            (answer.access_token(), answer.refresh_token()),
            (answers[0].access_token(), answers[0].refresh_token())
        );
    }
    assert!(fixture.verify(answers[0].access_token()).await.is_ok());
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
        ("a resource below it", redeem().with("resource", &format!("{RESOURCE}/x")), "invalid_target"),
    ] {
        let answer = call.await.expect("a response");
        assert_eq!((answer.status().as_u16(), answer.error()), (400, Some(error)), "{what}");
    }
    let answer = redeem().with("resource", &format!("{RESOURCE}/")).await.expect("a response");
    assert_eq!(answer.status(), 200, "the client itself gets its tokens, also with a slash after the resource");
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
        (Some("application/json, application/x-www-form-urlencoded"), r#"{"grant_type":"refresh_token"}"#, 400),
        (Some("text/plain, application/json"), "client_id=app&grant_type=password", 400),
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
async fn a_form_is_read_although_its_content_type_names_another_type_as_well() {
    let fixture = Fixture::new().await;
    for types in [
        &["application/json, application/x-www-form-urlencoded"][..],
        &["application/json", "application/x-www-form-urlencoded; charset=UTF-8"],
    ] {
        let request = Request::post(format!("{ISSUER}/token"));
        let request = types.iter().fold(request, |request, of| request.header("content-type", *of));
        let response = fixture.send(request, "client_id=app&grant_type=refresh_token&refresh_token=x").await;
        let error: serde_json::Value = serde_json::from_slice(response.body()).expect("JSON");
        assert_eq!(error["error"], "invalid_grant", "it was read: {error}");
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
