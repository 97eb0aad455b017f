//! Discovery of endpoints.

use std::time::Duration;

use futures_util::future::join_all;
use http::Uri;
use portcullis_core::Reason;
use serde_json::json;
use tokio::time::{advance, timeout};

use super::stub::{ISSUER, Stub, TOKEN, introspection, verify};

const OAUTH: &str = "/.well-known/oauth-authorization-server";
const OPENID: &str = "/.well-known/openid-configuration";

#[tokio::test(start_paused = true)]
async fn a_thousand_first_callers_share_one_look_up() {
    let stub = Stub::new();
    let verifier = introspection(&stub);
    let outcomes = join_all((0..1000).map(|_| verify(verifier.clone(), TOKEN))).await;
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(stub.calls(OAUTH), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failed_look_up_is_shared_and_not_repeated_during_the_cool_down() {
    let stub = Stub::new();
    stub.answer_text(OAUTH, 503, &[], "");
    let verifier = introspection(&stub);
    let outcomes = join_all((0..1000).map(|_| verify(verifier.clone(), TOKEN))).await;
    assert!(outcomes.iter().all(|outcome| {
        outcome.as_ref().is_err_and(|refusal| refusal.is_transient() && refusal.retry_after().is_some())
    }));
    assert!(verify(verifier.clone(), TOKEN).await.is_err());
    assert_eq!(stub.calls(OAUTH), 1);

    advance(Duration::from_secs(6)).await;
    stub.answer(OAUTH, 200, &json!({"issuer": ISSUER, "introspection_endpoint": format!("{ISSUER}/introspect")}));
    verify(verifier, TOKEN).await.expect("found at last");
}

#[tokio::test(start_paused = true)]
async fn the_retry_after_of_a_provider_is_bounded() {
    let stub = Stub::new();
    stub.answer_text(OAUTH, 503, &[("retry-after", "18446744073709551615")], "");
    let verifier = introspection(&stub);
    let refusal = verify(verifier.clone(), TOKEN).await.expect_err("failing");
    assert_eq!(refusal.retry_after(), Some(Duration::from_secs(300)));
    advance(Duration::from_secs(301)).await;
    assert!(verify(verifier, TOKEN).await.is_err());
    assert_eq!(stub.calls(OAUTH), 2);
}

#[tokio::test(start_paused = true)]
async fn a_look_up_that_panics_fails_its_callers_and_is_repeated() {
    let stub = Stub::new();
    let verifier = introspection(&stub);
    stub.panic_next();
    let refusal = verify(verifier.clone(), TOKEN).await.expect_err("panicked");
    assert_eq!(refusal.reason(), Reason::VerifierFailed);
    verify(verifier, TOKEN).await.expect("tried again");
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_neither_cancels_nor_repeats_the_look_up() {
    let stub = Stub::new();
    let verifier = introspection(&stub);
    for _ in 0..10 {
        assert!(timeout(Duration::from_millis(1), verify(verifier.clone(), TOKEN)).await.is_err());
    }
    verify(verifier, TOKEN).await.expect("user");
    assert_eq!(stub.calls(OAUTH), 1);
}

#[tokio::test(start_paused = true)]
async fn a_found_endpoint_stays_in_use_while_it_is_looked_up_again() {
    let stub = Stub::new();
    let verifier = introspection(&stub);
    verify(verifier.clone(), TOKEN).await.expect("found");
    stub.answer_text(OAUTH, 500, &[], "");
    for _ in 0..3 {
        advance(Duration::from_secs(3600)).await;
        verify(verifier.clone(), TOKEN).await.expect("still in use");
    }
    assert!(stub.calls(OAUTH) > 1);
}

#[tokio::test(start_paused = true)]
async fn cl_05_the_next_location_is_tried_and_cl_06_metadata_of_another_issuer_is_not_used() {
    let stub = Stub::new();
    stub.answer(
        OAUTH,
        200,
        &json!({"issuer": "https://evil.example", "introspection_endpoint": "https://evil.example/"}),
    );
    stub.answer(OPENID, 200, &json!({"issuer": ISSUER, "introspection_endpoint": format!("{ISSUER}/introspect")}));
    verify(introspection(&stub), TOKEN).await.expect("found at the second place");

    stub.answer_text(OPENID, 404, &[], "");
    let refusal = verify(introspection(&stub), TOKEN).await.expect_err("foreign metadata only");
    assert_eq!(refusal.reason(), Reason::ProviderMisbehaved);
}

#[tokio::test(start_paused = true)]
async fn an_issuer_without_the_endpoint_is_a_configuration_problem() {
    let stub = Stub::new();
    stub.answer(OAUTH, 200, &json!({"issuer": ISSUER}));
    let refusal = verify(introspection(&stub), TOKEN).await.expect_err("no endpoint");
    assert_eq!(refusal.reason(), Reason::ClientRefused);
}

#[tokio::test(start_paused = true)]
async fn a_configured_endpoint_is_not_looked_up() {
    let stub = Stub::new();
    let verifier = introspection(&stub).with_endpoint(Uri::from_static("https://idp.example/introspect"));
    verify(verifier, TOKEN).await.expect("user");
    assert_eq!((stub.calls(OAUTH), stub.calls("/introspect")), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn the_second_document_is_read_if_the_first_lacks_the_endpoint() {
    let stub = Stub::new();
    stub.answer(OAUTH, 200, &json!({"issuer": ISSUER, "userinfo_endpoint": format!("{ISSUER}/userinfo")}));
    stub.answer(OPENID, 200, &json!({"issuer": ISSUER, "introspection_endpoint": format!("{ISSUER}/introspect")}));
    verify(introspection(&stub), TOKEN).await.expect("the endpoint of the second document");
    assert_eq!((stub.calls(OAUTH), stub.calls(OPENID)), (1, 1));

    stub.answer(
        OPENID,
        200,
        &json!({"issuer": "https://evil.example", "introspection_endpoint": "https://evil.example/"}),
    );
    let refusal = verify(introspection(&stub), TOKEN).await.expect_err("foreign metadata completes nothing");
    assert_eq!(refusal.reason(), Reason::ClientRefused);
}

#[tokio::test(start_paused = true)]
async fn a_complete_metadata_document_is_the_only_request() {
    let stub = Stub::new();
    verify(introspection(&stub), TOKEN).await.expect("user");
    assert_eq!((stub.calls(OAUTH), stub.calls(OPENID)), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_failing_or_unreadable_first_location_is_skipped() {
    let metadata = json!({"issuer": ISSUER, "introspection_endpoint": format!("{ISSUER}/introspect")});
    for (status, content_type, body) in
        [(500, "text/html", "<html>"), (503, "", ""), (200, "text/html", "<html>"), (200, "application/json", "[]")]
    {
        let stub = Stub::new();
        stub.answer_text(OAUTH, status, &[("content-type", content_type)], body);
        stub.answer_text(OPENID, 200, &[("content-type", "text/plain")], &metadata.to_string());
        verify(introspection(&stub), TOKEN).await.expect("found at the second location");
    }
    let stub = Stub::new();
    stub.answer_text(OAUTH, 429, &[("retry-after", "7")], "");
    let refusal = verify(introspection(&stub), TOKEN).await.expect_err("rate limited");
    assert_eq!((refusal.reason(), stub.calls(OPENID)), (Reason::ProviderRateLimited, 0));
}
