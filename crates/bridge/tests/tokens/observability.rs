//! The log, invalidations, and secrets that are never logged.

use portcullis_test_support::{Call, LogCapture};
use serde_json::Value;

use crate::fixture::{Fixture, ISSUER, RESOURCE, SERVER};

#[tokio::test(start_paused = true)]
async fn the_log_states_why_a_session_ended() {
    let log = LogCapture::of_all_threads();
    let fixture = Fixture::new().await;
    let client = fixture.app().await;
    let mut ended = fixture.bridge.invalidations();

    let (authorization, code) = fixture.code(&client).await;
    client.redeem(&authorization, &code).await.expect("a response");
    fixture.pass(31);
    client.redeem(&authorization, &code).await.expect("a response");
    let by_code = announced(&mut ended).await;

    let first = fixture.log_in().await;
    let second = client.refresh(first.refresh_token()).await.expect("a response");
    fixture.pass(121);
    client.refresh(first.refresh_token()).await.expect("a response");
    let late = announced(&mut ended).await;
    assert_ne!(by_code, late);

    let first = fixture.log_in().await;
    client.refresh(first.refresh_token()).await.expect("a response");
    client.refresh(second.refresh_token()).await.expect("a response");
    client.revoke(first.refresh_token()).await.expect("a response");
    let revoked = announced(&mut ended).await;

    let text = log.text();
    for (session, what) in [
        (by_code, "authorization code reused"),
        (by_code, "reason=\"code_reused\""),
        (late, "why=\"presented again after the grace period\""),
        (late, "reason=\"refresh_token_reused\""),
        (revoked, "reason=\"revoked\""),
    ] {
        let session = session.to_string();
        assert!(text.lines().any(|line| line.contains(&session) && line.contains(what)), "{session} {what}");
    }
}

#[tokio::test(start_paused = true)]
async fn ema_10_no_assertion_and_no_token_is_logged_or_told_back() {
    let log = LogCapture::of_all_threads();
    let fixture = Fixture::new().await;
    let server = fixture.server().await;
    let good = fixture.idp.id_jag("alice", ISSUER, SERVER).with_claim("resource", RESOURCE).jwt();
    let bad = fixture.idp.id_jag("alice", ISSUER, "another client").with_claim("resource", RESOURCE).jwt();
    let mut secrets = vec![good.clone(), bad.clone()];
    let mut told = Vec::new();
    for assertion in [&good, &good, &bad, &format!("{bad}x")] {
        let answer = server.redeem_id_jag(assertion).await.expect("a response");
        match answer["access_token"].as_str() {
            Some(token) => secrets.push(token.to_owned()),
            None => told.push(answer.json().clone()),
        }
    }
    let tokens = fixture.log_in().await;
    secrets.extend([tokens.access_token().to_owned(), tokens.refresh_token().to_owned()]);
    let wrong = format!("{}x", tokens.refresh_token());
    for call in [server.refresh(tokens.refresh_token()), server.refresh(&wrong), server.revoke(tokens.access_token())] {
        told.push(call.await.expect("a response").json().clone());
    }
    assert_eq!((secrets.len(), told.len()), (5, 6));
    let told = Value::from(told).to_string();
    for secret in &secrets {
        let part = &secret[secret.len() - 40..];
        assert!(!log.text().contains(part), "in the log");
        assert!(!told.contains(part), "in an answer");
    }
}

/// Returns the next invalidation.
async fn announced(ended: &mut tokio::sync::broadcast::Receiver<portcullis_core::GrantId>) -> portcullis_core::GrantId {
    let next = tokio::time::timeout(std::time::Duration::from_secs(60), ended.recv());
    next.await.expect("it is announced").expect("an end")
}

#[tokio::test(start_paused = true)]
async fn issued_and_revoked_tokens_are_lines_of_the_log_with_client_user_and_session() {
    let fixture = Fixture::new().await;
    let log = LogCapture::of_this_thread();
    let client = fixture.app().await;
    let first = fixture.log_in().await;
    let second = client.refresh(first.refresh_token()).await.expect("a response");
    let user = fixture.verify(second.access_token()).await.expect("a user");
    let session = format!("session={}", user.upstream().grant().expect("a grant"));
    client.revoke(second.access_token()).await.expect("a response");
    client.revoke(second.refresh_token()).await.expect("a response");
    let lines = [log.lines("tokens issued"), log.lines("token revoked")].concat();
    let expected = ["authorization_code", "refresh_token", "token=\"access_token\"", "token=\"session\""];
    assert_eq!(lines.len(), expected.len(), "{lines:?}");
    for (line, own) in lines.iter().zip(expected) {
        for part in ["INFO", "client_id=\"app\"", "user=\"https://idp.example.test#alice\"", &session, own] {
            assert!(line.contains(part), "{part}: {line}");
        }
    }
    for answer in [&first, &second] {
        assert!(!log.text().contains(answer.access_token()) && !log.text().contains(answer.refresh_token()));
    }
}

#[tokio::test(start_paused = true)]
async fn every_refused_token_request_is_one_line_of_the_log() {
    let fixture = Fixture::new().await;
    let client = fixture.app().await;
    let server = fixture.server().await;
    let (authorization, code) = fixture.code(&client).await;
    let redeem = || client.redeem(&authorization, &code);
    let refresh_token = fixture.log_in().await.refresh_token().to_owned();
    let other = fixture.idp.id_jag("alice", ISSUER, "another client").with_claim("resource", RESOURCE).jwt();
    let cases: [(Call, &[&str]); 11] = [
        (redeem().with("grant_type", "password"), &["step=\"token\"", "found=\"password\"", "authorization_code"]),
        (redeem().with("resource", "https://a.example"), &["authorization_code", "https://a.example", RESOURCE]),
        (redeem().with("redirect_uri", "https://a.example/"), &["https://a.example/", "http://127.0.0.1"]),
        (redeem().with("code_verifier", &"x".repeat(43)), &["code_verifier does not match"]),
        (redeem().with("code", "x"), &["expired or already used"]),
        (server.redeem(&authorization, &code), &["found=\"server\"", "expected=\"app\""]),
        (server.refresh(&refresh_token), &["step=\"refresh_token\"", "found=\"server\"", "expected=\"app\""]),
        (server.refresh("pcrt_x").with("client_secret", "guess"), &["invalid_client", "client_id=\"server\""]),
        (client.refresh("pcrt_x"), &["refresh token is invalid or its session has ended"]),
        (client.refresh("pcrt_x").with("scope", "\""), &["malformed scope"]),
        (server.redeem_id_jag(&other), &["step=\"jwt_bearer\"", "wrong_client", "bridge.trusted_issuers"]),
    ];
    for (call, parts) in cases {
        let log = LogCapture::of_this_thread();
        assert!(call.await.expect("a response").status().is_client_error());
        let lines = log.lines("client request rejected");
        let [line] = &*lines else { panic!("one line with {parts:?}: {lines:?}") };
        for part in parts {
            assert!(line.contains(part), "{part}: {line}");
        }
    }
    fixture.pass(40 * 24 * 3600);
    let log = LogCapture::of_this_thread();
    client.refresh(&refresh_token).await.expect("a response");
    assert_eq!(log.lines("client request rejected").len(), 1);
}
