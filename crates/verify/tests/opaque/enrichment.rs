//! `UserInfoLayer`.

use std::sync::Arc;

use portcullis_core::{AuthError, BearerToken, Issuer, PrincipalKind, Reason, ResourceUri, UserContext};
use portcullis_oauth::introspection::IntrospectionPolicy;
use portcullis_verify::{
    AudienceCheck, IntrospectionVerifier, UserInfoEndpoint, UserInfoEnrichment, UserInfoLayer, UserInfoVerifier,
};
use serde_json::json;
use tower::{Layer as _, service_fn};

use super::stub::{ISSUER, RESOURCE, Stub, TOKEN, active, client, clock, introspection, issuer, verify};

fn layer(stub: &Stub, issuer: Issuer) -> UserInfoLayer {
    UserInfoLayer::new(UserInfoEndpoint::new(issuer, stub.egress()).with_clock(clock()))
}

#[tokio::test(start_paused = true)]
async fn the_profile_is_added_and_everything_else_is_kept() {
    let stub = Stub::new();
    let plain = verify(introspection(&stub), TOKEN).await.expect("plain");
    let rich = verify(layer(&stub, issuer(ISSUER)).layer(introspection(&stub)), TOKEN).await.expect("rich");
    assert_eq!(rich.email(), Some("alice@example.test"));
    let mut json = serde_json::to_value(&*rich).expect("json");
    json.as_object_mut().and_then(|members| members.remove("profile")).expect("profile");
    assert_eq!(json, serde_json::to_value(&*plain).expect("json"));
}

#[tokio::test(start_paused = true)]
async fn a_profile_of_another_user_is_refused() {
    let stub = Stub::new();
    stub.answer("/userinfo", 200, &json!({"sub": "Alice"}));
    let refusal = verify(layer(&stub, issuer(ISSUER)).layer(introspection(&stub)), TOKEN).await.expect_err("Alice");
    assert_eq!(refusal.reason(), Reason::SubjectMismatch);
}

/// Introspection that names users by `username`, and UserInfo that does as well.
fn by_username(stub: &Stub) -> (IntrospectionVerifier, UserInfoEndpoint) {
    let policy = IntrospectionPolicy::new(issuer(ISSUER), ResourceUri::new(RESOURCE).expect("resource"));
    let policy = policy.with_subject_claim("username");
    let endpoint =
        UserInfoEndpoint::new(issuer(ISSUER), stub.egress()).with_clock(clock()).with_subject_claim("username");
    (IntrospectionVerifier::new(policy, client(), stub.egress()).with_clock(clock()), endpoint)
}

#[tokio::test(start_paused = true)]
async fn a_profile_must_identify_the_user_by_the_same_member_as_the_token() {
    let stub = Stub::new();
    let (introspection, endpoint) = by_username(&stub);
    let enriched = UserInfoEnrichment::new(introspection.clone(), endpoint.clone());
    let profiled = UserInfoVerifier::new(endpoint, AudienceCheck::introspection(introspection)).expect("verifier");
    let mut named = active();
    named["username"] = "alice".into();
    let mut unnamed = named.clone();
    unnamed.as_object_mut().expect("members").remove("sub");
    for (introspected, user_info, outcome) in [
        (&unnamed, json!({"sub": "17", "username": "alice"}), Ok("alice")),
        (&unnamed, json!({"sub": "alice", "username": "bob"}), Err(Reason::SubjectMismatch)),
        (&unnamed, json!({"sub": "alice"}), Err(Reason::NoSubject)),
        (&unnamed, json!({"sub": "alice", "username": null}), Err(Reason::NoSubject)),
        (&unnamed, json!({"sub": "alice", "username": ""}), Err(Reason::NoSubject)),
        (&named, json!({"sub": "alice", "username": "alice"}), Ok("alice")),
        (&named, json!({"sub": "17", "username": "alice"}), Err(Reason::SubjectMismatch)),
    ] {
        stub.answer("/introspect", 200, introspected);
        stub.answer("/userinfo", 200, &user_info);
        for found in [verify(enriched.clone(), TOKEN).await, verify(profiled.clone(), TOKEN).await] {
            let found = found.as_deref().map(UserContext::subject).map_err(AuthError::reason);
            assert_eq!(found, outcome, "{user_info}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn user_info_is_not_called_for_a_refused_token_and_its_own_refusal_counts() {
    let stub = Stub::new();
    let enriched = layer(&stub, issuer(ISSUER)).layer(introspection(&stub));
    stub.answer("/introspect", 200, &json!({"active": false}));
    assert_eq!(verify(enriched.clone(), TOKEN).await.expect_err("inactive").reason(), Reason::Inactive);
    assert_eq!(stub.calls("/userinfo"), 0);

    stub.answer("/introspect", 200, &active());
    stub.answer("/userinfo", 401, &json!({}));
    assert_eq!(verify(enriched.clone(), TOKEN).await.expect_err("dead").reason(), Reason::Inactive);
    stub.answer_text("/userinfo", 502, &[], "");
    assert!(verify(enriched, TOKEN).await.expect_err("outage").is_transient());
}

#[tokio::test(start_paused = true)]
async fn tokens_of_other_issuers_and_of_clients_are_not_sent_to_user_info() {
    let stub = Stub::new();
    let other = layer(&stub, issuer("https://other.example")).layer(introspection(&stub));
    let user = verify(other, TOKEN).await.expect("user of another issuer");
    assert!(user.profile().is_empty());

    let client = service_fn(|_: BearerToken| async {
        let user = UserContext::builder(issuer(ISSUER), "job").with_kind(PrincipalKind::Client).build();
        Ok::<_, AuthError>(Arc::new(user))
    });
    let endpoint = UserInfoEndpoint::new(issuer(ISSUER), stub.egress()).with_clock(clock());
    verify(UserInfoEnrichment::new(client, endpoint), TOKEN).await.expect("client");
    assert_eq!(stub.calls("/userinfo"), 0);
}
