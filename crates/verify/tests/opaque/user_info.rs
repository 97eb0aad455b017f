//! `UserInfoVerifier` and its audience checks.

use portcullis_core::{PrincipalKind, Reason};
use portcullis_oauth::{ClientAuthentication, providers::Provider};
use portcullis_verify::{AudienceCheck, ConfigError, UserInfoEndpoint, UserInfoVerifier, danger};
use serde_json::json;

use super::stub::{ISSUER, SECRET, Stub, TOKEN, active, clock, introspection, issuer, verify};

fn endpoint(stub: &Stub) -> UserInfoEndpoint {
    UserInfoEndpoint::new(issuer(ISSUER), stub.egress()).with_clock(clock())
}

fn with_introspection(stub: &Stub) -> UserInfoVerifier {
    let check = AudienceCheck::introspection(introspection(stub));
    UserInfoVerifier::new(endpoint(stub), check).expect("verifier")
}

fn github(stub: &Stub) -> UserInfoVerifier {
    let client = ClientAuthentication::basic("Iv1.app", SECRET.into());
    let endpoint = UserInfoEndpoint::of_provider(Provider::github(), stub.egress()).with_clock(clock());
    let check = AudienceCheck::token_check(Provider::github(), client, stub.egress())
        .expect("GitHub has it")
        .with_clock(clock());
    UserInfoVerifier::new(endpoint, check).expect("verifier")
}

#[tokio::test(start_paused = true)]
async fn the_user_has_rights_from_the_check_and_a_profile_from_user_info() {
    let user = verify(with_introspection(&Stub::new()), TOKEN).await.expect("user");
    assert_eq!((user.subject(), user.email()), ("alice", Some("alice@example.test")));
    assert!(user.scopes().contains("mcp:read") && user.expires_at().is_some());
}

#[tokio::test(start_paused = true)]
async fn rs_10_user_info_is_not_requested_for_a_token_of_another_audience() {
    let stub = Stub::new();
    let mut foreign = active();
    foreign["aud"] = "https://other.example".into();
    stub.answer("/introspect", 200, &foreign);
    let refusal = verify(with_introspection(&stub), TOKEN).await.expect_err("foreign");
    assert_eq!((refusal.reason(), stub.calls("/userinfo")), (Reason::WrongAudience, 0));
}

#[tokio::test(start_paused = true)]
async fn both_answers_must_be_about_the_same_subject() {
    let stub = Stub::new();
    stub.answer("/userinfo", 200, &json!({"sub": "mallory"}));
    let refusal = verify(with_introspection(&stub), TOKEN).await.expect_err("mallory");
    assert_eq!(refusal.reason(), Reason::SubjectMismatch);
}

#[tokio::test(start_paused = true)]
async fn a_github_token_of_our_app_is_a_user_and_one_of_another_app_is_not() {
    let stub = Stub::new();
    stub.answer("/user", 200, &json!({"id": 583_231, "login": "octocat", "email": null}));
    stub.answer(
        "/applications/Iv1.app/token",
        200,
        &json!({"app": {"client_id": "Iv1.app"}, "user": {"id": 583_231}, "scopes": ["repo"], "token": TOKEN}),
    );
    let user = verify(github(&stub), TOKEN).await.expect("user");
    assert_eq!((user.subject(), user.username(), user.email()), ("583231", Some("octocat"), None));
    assert_eq!(stub.calls("/user/emails"), 1, "the profile has no address, and the token may not read the addresses");
    assert_eq!(user.principal().kind(), PrincipalKind::User);
    assert!(user.scopes().contains("repo"));
    assert!(!serde_json::to_string(&*user).expect("json").contains(TOKEN));

    stub.answer("/applications/Iv1.app/token", 404, &json!({"message": "Not Found"}));
    let refusal = verify(github(&stub), TOKEN).await.expect_err("another app");
    assert_eq!((refusal.reason(), stub.calls("/user")), (Reason::Inactive, 1));
}

#[tokio::test(start_paused = true)]
async fn a_dead_token_a_missing_permission_and_an_outage_are_three_things() {
    let stub = Stub::new();
    let verifier = with_introspection(&stub);
    for (status, headers, body, reason) in [
        (401, [("x", "")], "", Reason::Inactive),
        (403, [("x", "")], "Bad_OAuth_Token", Reason::Inactive),
        (403, [("x", "")], "Request forbidden by administrative rules", Reason::ClientRefused),
        (200, [("content-type", "application/jwt")], "eyJ.eyJ.x", Reason::ProviderMisbehaved),
        (200, [("content-type", "application/json")], "{}", Reason::ProviderMisbehaved),
        (500, [("x", "")], "", Reason::ProviderUnavailable),
        (500, [("x", "")], "", Reason::BackingOff),
    ] {
        stub.answer_text("/userinfo", status, &headers, body);
        let refusal = verify(verifier.clone(), &format!("{TOKEN}-{status}")).await.expect_err(body);
        assert_eq!(refusal.reason(), reason, "{status} {body}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_rate_limit_of_one_user_does_not_apply_to_others() {
    let stub = Stub::new();
    let verifier = with_introspection(&stub);
    stub.answer_text("/userinfo", 403, &[("x-ratelimit-remaining", "0")], "");
    for _ in 0..5 {
        let refusal = verify(verifier.clone(), TOKEN).await.expect_err("too often");
        assert_eq!(refusal.reason(), Reason::ProviderRateLimited);
    }
    assert_eq!(stub.calls("/userinfo"), 1);
    let _other = verify(verifier, "another-users-token").await;
    assert_eq!(stub.calls("/userinfo"), 2);
}

#[tokio::test(start_paused = true)]
async fn an_audience_check_can_be_omitted_only_by_the_module_danger() {
    let stub = Stub::new();
    let verifier = UserInfoVerifier::new(endpoint(&stub), danger::any_audience()).expect("verifier");
    let user = verify(verifier, TOKEN).await.expect("user");
    assert_eq!((user.subject(), user.issuer().as_str(), user.scopes().len()), ("alice", ISSUER, 0));
}

#[tokio::test(start_paused = true)]
async fn an_audience_check_of_another_issuer_is_a_configuration_error() {
    let stub = Stub::new();
    let other = UserInfoEndpoint::new(issuer("https://other.example"), stub.egress()).with_clock(clock());
    let error = UserInfoVerifier::new(other, AudienceCheck::introspection(introspection(&stub))).expect_err("mixed");
    assert!(matches!(error, ConfigError::DifferentIssuers { .. }));
    let client = ClientAuthentication::basic("app", SECRET.into());
    let error = AudienceCheck::token_check(Provider::google(), client, stub.egress()).expect_err("no check");
    assert_eq!(error, ConfigError::NoTokenCheck("google"));
}

#[tokio::test(start_paused = true)]
async fn a_huge_token_is_not_sent() {
    let stub = Stub::new();
    let refusal = verify(github(&stub).with_max_len(64), &"x".repeat(65)).await.expect_err("huge");
    assert_eq!((refusal.reason(), stub.all_calls()), (Reason::TokenTooLarge, 0));
}
