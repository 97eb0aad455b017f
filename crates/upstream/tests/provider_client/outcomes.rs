//! What became of a refresh token, by every way in which an exchange can fail.

use std::time::Duration;

use portcullis_core::{BearerToken, Reason, ScopeSet};
use portcullis_egress::EgressErrorKind;
use portcullis_oauth::{TokenResponse, providers::Provider};
use portcullis_refresh::{RefreshErrorKind, TokenSet};
use serde_json::json;
use tokio::time::sleep;
use tower::ServiceExt as _;

use crate::script::{Line, Script, bare, json, oidc, refresh};

const PAGE: Line = Line::Answer(200, &[("content-type", "text/html")], bytes::Bytes::from_static(b"<html>"));

#[tokio::test(start_paused = true)]
async fn what_became_of_a_refresh_token_is_told_apart() {
    use RefreshErrorKind::{Ambiguous, Misconfigured, NotSent, Refused, Transient, Unexplained};
    let oauth = |status, code: &str| json(status, &json!({"error": code}));
    for (line, outcome, reason) in [
        (oauth(400, "invalid_grant"), Refused, Reason::GrantEnded),
        (oauth(403, "invalid_grant"), Refused, Reason::GrantEnded),
        (oauth(401, "invalid_client"), Misconfigured, Reason::ClientRefused),
        (oauth(400, "unauthorized_client"), Misconfigured, Reason::ClientRefused),
        (oauth(400, "unsupported_grant_type"), Misconfigured, Reason::ClientRefused),
        (oauth(400, "interaction_required"), Refused, Reason::GrantEnded),
        (oauth(400, "consent_required"), Refused, Reason::GrantEnded),
        (oauth(400, "login_required"), Refused, Reason::GrantEnded),
        (oauth(200, "token_expired"), Unexplained, Reason::UnknownRefusal),
        (oauth(401, "invalid_token"), Unexplained, Reason::UnknownRefusal),
        (json(400, &json!({"status": "BAD_REFRESH_TOKEN"})), Unexplained, Reason::UnknownRefusal),
        (json(400, &json!({"error": {"code": 190}})), Unexplained, Reason::UnknownRefusal),
        (json(200, &json!({"ok": false})), Unexplained, Reason::UnknownRefusal),
        (bare(401), Unexplained, Reason::ClientRefused),
        (bare(403), Unexplained, Reason::UnknownRefusal),
        (bare(404), Unexplained, Reason::UnknownRefusal),
        (bare(407), Misconfigured, Reason::ProviderMisbehaved),
        (bare(408), Ambiguous, Reason::ProviderUnavailable),
        (bare(425), Transient, Reason::ProviderUnavailable),
        (json(400, &json!({"status": "UNAVAILABLE"})), Transient, Reason::ProviderUnavailable),
        (json(200, &json!({"ok": false, "error": "ratelimited"})), Transient, Reason::ProviderUnavailable),
        (bare(302), Misconfigured, Reason::ProviderMisbehaved),
        (bare(500), Transient, Reason::ProviderUnavailable),
        (bare(503), Transient, Reason::ProviderUnavailable),
        (bare(429), Transient, Reason::ProviderRateLimited),
        (oauth(400, "temporarily_unavailable"), Transient, Reason::ProviderUnavailable),
        (PAGE, Ambiguous, Reason::ProviderMisbehaved),
        (json(200, &json!({})), Ambiguous, Reason::ProviderMisbehaved),
        (bare(204), Ambiguous, Reason::ProviderMisbehaved),
        (Line::Silence, Ambiguous, Reason::ProviderTimeout),
        (Line::Failure(EgressErrorKind::Transport), Ambiguous, Reason::ProviderUnavailable),
        (Line::Failure(EgressErrorKind::BodyTooLarge), Ambiguous, Reason::ProviderMisbehaved),
        (Line::Failure(EgressErrorKind::Connect), NotSent, Reason::ProviderUnavailable),
        (Line::Failure(EgressErrorKind::Blocked), NotSent, Reason::ClientRefused),
    ] {
        let script = Script::new([line.clone()]);
        let error = refresh(&script.client(oidc())).await.expect_err("no tokens");
        assert_eq!((error.kind(), error.cause().reason()), (outcome, reason), "{line:?}");
        assert_eq!(error.cause().is_transient(), outcome != Refused, "{line:?}: only a dead grant is the user's");
        assert_eq!(script.calls(), 1, "{line:?}: presented once");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failing_provider_gets_one_call_per_window_from_all_callers_together() {
    let script = Script::new([bare(500), json(200, &json!({"access_token": "at-1", "expires_in": 60}))]);
    let client = script.client(oidc());
    refresh(&client).await.expect_err("500");
    for _ in 0..10 {
        let error = refresh(&client).await.expect_err("left alone");
        assert_eq!((error.kind(), error.cause().reason()), (RefreshErrorKind::NotSent, Reason::BackingOff));
        assert!(error.retry_after().is_some_and(|delay| delay <= Duration::from_millis(1250)));
    }
    assert_eq!(script.calls(), 1);
    sleep(Duration::from_millis(1250)).await;
    refresh(&client).await.expect("well again");
}

#[tokio::test(start_paused = true)]
async fn credentials_that_were_refused_are_not_presented_for_every_user() {
    let refused = json!({"error": "incorrect_client_credentials"});
    let tokens = json!({"access_token": "at-1", "token_type": "bearer", "scope": ""});
    let script = Script::new([json(200, &refused), json(200, &tokens)]);
    let client = script.client(Provider::github());
    let first = refresh(&client).await.expect_err("refused");
    assert_eq!(first.kind(), RefreshErrorKind::Misconfigured);
    sleep(Duration::from_secs(4)).await;
    let second = refresh(&client).await.expect_err("not asked");
    assert_eq!((second.kind(), second.cause().reason()), (RefreshErrorKind::NotSent, Reason::ClientRefused));
    assert_eq!(second.retry_after(), Some(Duration::from_secs(1)));
    assert_eq!(script.calls(), 1);
    sleep(Duration::from_secs(1)).await;
    refresh(&client).await.expect("the secret was put right");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_may_be_about_one_token_does_not_reject_other_tokens() {
    let tokens = json!({"access_token": "at-1", "expires_in": 60});
    for refusal in ["unauthorized_client", "invalid_grant"] {
        let script = Script::new([json(400, &json!({"error": refusal})), json(200, &tokens)]);
        let client = script.client(oidc());
        refresh(&client).await.expect_err(refusal);
        refresh(&client).await.expect("another user");
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_the_rate_that_comes_as_403_is_respected() {
    let limited = Line::Answer(403, &[("retry-after", "60")], bytes::Bytes::from_static(b"{}"));
    let script = Script::new([limited, json(200, &json!({"access_token": "at-1", "token_type": "bearer"}))]);
    let client = script.client(Provider::github());
    let first = refresh(&client).await.expect_err("limited");
    assert_eq!((first.kind(), first.retry_after()), (RefreshErrorKind::Transient, Some(Duration::from_secs(60))));
    sleep(Duration::from_secs(59)).await;
    let second = refresh(&client).await.expect_err("left alone");
    assert_eq!((second.kind(), second.cause().reason()), (RefreshErrorKind::NotSent, Reason::ProviderRateLimited));
    assert_eq!(script.calls(), 1);
    // Up to a quarter more.
    sleep(Duration::from_secs(16)).await;
    refresh(&client).await.expect("the minute is over");
}

#[tokio::test(start_paused = true)]
async fn a_bare_400_ends_a_grant_only_if_introspection_says_that_the_token_is_dead() {
    for (answer, outcome) in [
        (json(200, &json!({"active": false})), RefreshErrorKind::Refused),
        (json(200, &json!({"active": true})), RefreshErrorKind::Misconfigured),
        (bare(401), RefreshErrorKind::Unexplained),
        (bare(503), RefreshErrorKind::Unexplained),
        (Line::Silence, RefreshErrorKind::Unexplained),
    ] {
        let script = Script::new([bare(400), answer.clone()]);
        let error = refresh(&script.client(oidc())).await.expect_err("refused");
        assert_eq!(error.kind(), outcome, "{answer:?}");
        assert_eq!(script.paths(), ["/token", "/introspect"], "{answer:?}");
        assert_eq!(script.asked()[1].body(), "token=rt-0&token_type_hint=refresh_token");
    }
    let script = Script::new([bare(400)]);
    let error = refresh(&script.client(Provider::google())).await.expect_err("refused");
    assert_eq!((error.kind(), script.calls()), (RefreshErrorKind::Unexplained, 1), "no introspection: no evidence");
    let worded = json(400, &json!({"status": "BAD_REFRESH_TOKEN"}));
    let script = Script::new([worded]);
    refresh(&script.client(oidc())).await.expect_err("refused");
    assert_eq!(script.paths(), ["/token"], "an answer in words is judged by its words");
}

#[tokio::test(start_paused = true)]
async fn a_wording_that_the_operator_names_ends_a_grant_and_none_that_is_about_this_server_or_the_provider_does() {
    let named = ["BAD_REFRESH_TOKEN", "190", "unauthorized_client", "invalid_client", "temporarily_unavailable"];
    let client = |script: &Script| script.client(oidc().with_dead_grant_errors(named));
    for (line, outcome) in [
        (json(400, &json!({"status": "BAD_REFRESH_TOKEN"})), RefreshErrorKind::Refused),
        (json(403, &json!({"error": "BAD_REFRESH_TOKEN"})), RefreshErrorKind::Refused),
        (json(200, &json!({"ok": false, "code": "BAD_REFRESH_TOKEN"})), RefreshErrorKind::Refused),
        (json(400, &json!({"error": {"code": 190}})), RefreshErrorKind::Refused),
        (json(400, &json!({"error": "unauthorized_client"})), RefreshErrorKind::Refused),
        (json(400, &json!({"status": "bad_refresh_token"})), RefreshErrorKind::Unexplained),
        (json(400, &json!({"message": "BAD_REFRESH_TOKEN"})), RefreshErrorKind::Unexplained),
        (json(401, &json!({"error": "invalid_client"})), RefreshErrorKind::Misconfigured),
        (json(400, &json!({"error": "temporarily_unavailable"})), RefreshErrorKind::Transient),
        (json(429, &json!({"status": "BAD_REFRESH_TOKEN"})), RefreshErrorKind::Transient),
        (json(500, &json!({"status": "BAD_REFRESH_TOKEN"})), RefreshErrorKind::Transient),
    ] {
        let script = Script::new([line.clone()]);
        let error = refresh(&client(&script)).await.expect_err("refused");
        assert_eq!(error.kind(), outcome, "{line:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_refresh_token_nothing_is_sent() {
    let script = Script::new([]);
    let response = TokenResponse::new(BearerToken::issued("at").expect("token"));
    let tokens = TokenSet::from_login(response, &ScopeSet::default(), portcullis_testkit::TestClock::START);
    let error = script.client(oidc()).oneshot(tokens.into()).await.expect_err("nothing to present");
    assert_eq!((error.kind(), script.calls()), (RefreshErrorKind::Refused, 0));
}

#[tokio::test(start_paused = true)]
async fn a_failure_prints_no_secret() {
    let leaky = json!({"error": "invalid_grant", "error_description": "no such token: 5Aep861TSESvWeug_xvFHRBTTbf_YrTWgEyjBJrr"});
    for line in [json(400, &leaky), PAGE, Line::Failure(EgressErrorKind::Transport)] {
        let script = Script::new([line]);
        let client = script.client(oidc());
        let error = refresh(&client).await.expect_err("no tokens");
        let printed = format!("{client:?} {error} {error:?}");
        for secret in ["5Aep861", "s3cret", "rt-0", "Basic "] {
            assert!(!printed.contains(secret), "{printed}");
        }
    }
}
