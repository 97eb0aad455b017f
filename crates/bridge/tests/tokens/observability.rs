//! The log, invalidations, and secrets that are never logged.

use portcullis_test_support::LogCapture;
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
