//! What an operator sees, and what nobody does.

use serde_json::Value;

use crate::{
    log::Log,
    world::{ISSUER, RESOURCE, SERVER, World},
};

#[tokio::test(start_paused = true)]
async fn the_log_says_why_a_session_has_ended() {
    let log = Log::global();
    let world = World::new().await;
    let client = world.app().await;
    let mut ended = world.bridge.invalidations();

    let (authorization, code) = world.code(&client).await;
    client.redeem(&authorization, &code).await.expect("an answer");
    client.redeem(&authorization, &code).await.expect("an answer");
    let by_code = announced(&mut ended).await;

    let first = world.log_in().await;
    let second = client.refresh(first.refresh_token()).await.expect("an answer");
    world.pass(121);
    client.refresh(first.refresh_token()).await.expect("an answer");
    let late = announced(&mut ended).await;
    assert_ne!(by_code, late);

    let first = world.log_in().await;
    client.refresh(first.refresh_token()).await.expect("an answer");
    client.refresh(second.refresh_token()).await.expect("an answer");
    client.revoke(first.refresh_token()).await.expect("an answer");
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
    let log = Log::global();
    let world = World::new().await;
    let server = world.server().await;
    let good = world.idp.id_jag("alice", ISSUER, SERVER).with_claim("resource", RESOURCE).jwt();
    let bad = world.idp.id_jag("alice", ISSUER, "another client").with_claim("resource", RESOURCE).jwt();
    let mut secrets = vec![good.clone(), bad.clone()];
    let mut told = Vec::new();
    for assertion in [&good, &good, &bad, &format!("{bad}x")] {
        let answer = server.redeem_id_jag(assertion).await.expect("an answer");
        match answer["access_token"].as_str() {
            Some(token) => secrets.push(token.to_owned()),
            None => told.push(answer.json().clone()),
        }
    }
    let tokens = world.log_in().await;
    secrets.extend([tokens.access_token().to_owned(), tokens.refresh_token().to_owned()]);
    let wrong = format!("{}x", tokens.refresh_token());
    for call in [server.refresh(tokens.refresh_token()), server.refresh(&wrong), server.revoke(tokens.access_token())] {
        told.push(call.await.expect("an answer").json().clone());
    }
    assert_eq!((secrets.len(), told.len()), (5, 6));
    let told = Value::from(told).to_string();
    for secret in &secrets {
        let part = &secret[secret.len() - 40..];
        assert!(!log.text().contains(part), "in the log");
        assert!(!told.contains(part), "in an answer");
    }
}

/// What is announced next; a test that waits for nothing fails.
async fn announced(ended: &mut tokio::sync::broadcast::Receiver<portcullis_core::GrantId>) -> portcullis_core::GrantId {
    let next = tokio::time::timeout(std::time::Duration::from_secs(60), ended.recv());
    next.await.expect("it is announced").expect("an end")
}
