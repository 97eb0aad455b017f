//! `IntrospectionVerifier`.

use std::{error::Error, time::Duration};

use portcullis_core::Reason;
use portcullis_test_support::LogCapture;
use serde_json::json;
use tokio::time::advance;

use super::stub::{SECRET, Stub, TOKEN, active, introspection, verify};

#[tokio::test(start_paused = true)]
async fn an_active_token_for_this_server_is_a_user() {
    let user = verify(introspection(&Stub::new()), TOKEN).await.expect("user");
    assert_eq!((user.subject(), user.client_id()), ("alice", Some("app")));
    assert!(user.scopes().contains("mcp:read"));
}

#[tokio::test(start_paused = true)]
async fn rs_08_an_active_token_for_another_resource_is_refused() {
    let stub = Stub::new();
    let mut foreign = active();
    foreign["aud"] = "https://other.example".into();
    stub.answer("/introspect", 200, &foreign);
    let refusal = verify(introspection(&stub), TOKEN).await.expect_err("foreign");
    assert_eq!(refusal.reason(), Reason::WrongAudience);
}

#[tokio::test(start_paused = true)]
async fn inactive_is_the_tokens_fault_and_an_outage_is_not() {
    let stub = Stub::new();
    stub.answer("/introspect", 200, &json!({"active": false}));
    let verifier = introspection(&stub);
    assert_eq!(verify(verifier.clone(), TOKEN).await.expect_err("inactive").reason(), Reason::Inactive);
    for (status, content_type, body) in [
        (404, "text/html", "no"),
        (200, "text/html", "<html>"),
        (200, "application/token-introspection+jwt", "eyJ.eyJ.x"),
    ] {
        stub.answer_text("/introspect", status, &[("content-type", content_type)], body);
        let refusal = verify(verifier.clone(), TOKEN).await.expect_err(body);
        assert_eq!(refusal.reason(), Reason::ProviderMisbehaved, "{status} {content_type}");
    }
    stub.answer_text("/introspect", 503, &[("retry-after", "20")], "");
    let refusal = verify(verifier, TOKEN).await.expect_err("outage");
    assert_eq!(refusal.reason(), Reason::ProviderUnavailable);
    assert!(refusal.retry_after() >= Some(Duration::from_secs(20)));
}

#[tokio::test(start_paused = true)]
async fn a_failing_provider_gets_one_call_per_window() {
    let stub = Stub::new();
    let verifier = introspection(&stub);
    verify(verifier.clone(), TOKEN).await.expect("found the endpoint");
    stub.answer_text("/introspect", 500, &[("retry-after", "10")], "");
    for n in 0..100 {
        let refusal = verify(verifier.clone(), &format!("token-{n}")).await.expect_err("failing");
        assert!(refusal.is_transient() && refusal.retry_after().is_some());
    }
    assert_eq!(stub.calls("/introspect"), 1 + 2, "one failing token is no failing provider, two are");
}

#[tokio::test(start_paused = true)]
async fn a_rejection_of_this_servers_credentials_is_unavailable_and_one_error_in_the_log() {
    let log = LogCapture::of_this_thread();
    let stub = Stub::new();
    stub.answer("/introspect", 401, &json!({"error": "invalid_client"}));
    let verifier = introspection(&stub);
    for n in 0..100 {
        let refusal = verify(verifier.clone(), &format!("{TOKEN}-{n}")).await.expect_err("refused");
        assert_eq!(refusal.reason(), Reason::ClientRefused);
        assert!(refusal.retry_after().is_some());
        assert!(refusal.source().is_some_and(|source| source.to_string().contains("invalid_client")));
    }
    assert_eq!((stub.calls("/introspect"), log.errors()), (1, 1), "{}", log.text());
    assert!(!log.text().contains(SECRET) && !log.text().contains(TOKEN), "{}", log.text());

    advance(Duration::from_secs(6)).await;
    stub.answer("/introspect", 200, &active());
    verify(verifier, TOKEN).await.expect("credentials are good again");
}

#[tokio::test(start_paused = true)]
async fn a_request_refused_for_one_token_does_not_stop_other_tokens() {
    let stub = Stub::new();
    let verifier = introspection(&stub);
    stub.answer("/introspect", 400, &json!({"error": "unsupported_token_type"}));
    assert_eq!(verify(verifier.clone(), "strange").await.expect_err("strange").reason(), Reason::ClientRefused);
    stub.answer("/introspect", 200, &active());
    verify(verifier, TOKEN).await.expect("the next token is asked about");
}

#[tokio::test(start_paused = true)]
async fn refused_requests_do_not_flood_the_log() {
    let log = LogCapture::of_this_thread();
    let stub = Stub::new();
    stub.answer("/introspect", 400, &json!({"error": "unsupported_token_type"}));
    let verifier = introspection(&stub);
    for _ in 0..20 {
        assert!(verify(verifier.clone(), TOKEN).await.is_err());
    }
    assert_eq!((stub.calls("/introspect"), log.errors()), (1, 1), "{}", log.text());
}

#[tokio::test(start_paused = true)]
async fn a_huge_token_is_not_sent() {
    let stub = Stub::new();
    let verifier = introspection(&stub).with_max_len(64);
    let refusal = verify(verifier.clone(), &"x".repeat(65)).await.expect_err("huge");
    assert_eq!((refusal.reason(), stub.all_calls()), (Reason::TokenTooLarge, 0));
    verify(verifier, &"x".repeat(64)).await.expect("just short enough");
}

#[tokio::test(start_paused = true)]
async fn nothing_prints_a_secret() {
    let stub = Stub::new();
    let verifier = introspection(&stub);
    stub.answer("/introspect", 403, &json!({"error": "access_denied", "token": TOKEN}));
    let refusal = verify(verifier.clone(), TOKEN).await.expect_err("refused");
    let text = format!("{verifier:?} {refusal:?} {refusal} {:?}", refusal.source());
    assert!(!text.contains(SECRET) && !text.contains(TOKEN), "{text}");
}
