//! `EnrichLayer`.

use std::sync::Arc;

use portcullis_core::{AuthError, BearerToken, Issuer, PrincipalKind, Reason, UserContext};
use portcullis_verify::{EnrichLayer, Enriched, UserInfoEndpoint};
use serde_json::json;
use tower::{Layer as _, service_fn};

use super::stub::{ISSUER, Stub, TOKEN, clock, introspection, issuer, verify};

fn layer(stub: &Stub, issuer: Issuer) -> EnrichLayer {
    EnrichLayer::new(UserInfoEndpoint::new(issuer, stub.egress(), clock()))
}

#[tokio::test(start_paused = true)]
async fn adds_the_profile_and_keeps_everything_else() {
    let stub = Stub::new();
    let plain = verify(introspection(&stub), TOKEN).await.expect("plain");
    let rich = verify(layer(&stub, issuer(ISSUER)).layer(introspection(&stub)), TOKEN).await.expect("rich");
    assert_eq!(rich.email(), Some("alice@example.test"));
    let mut json = serde_json::to_value(&*rich).expect("json");
    json.as_object_mut().and_then(|members| members.remove("profile")).expect("profile");
    assert_eq!(json, serde_json::to_value(&*plain).expect("json"));
}

#[tokio::test(start_paused = true)]
async fn a_profile_of_somebody_else_is_refused() {
    let stub = Stub::new();
    stub.answer("/userinfo", 200, &json!({"sub": "Alice"}));
    let refusal = verify(layer(&stub, issuer(ISSUER)).layer(introspection(&stub)), TOKEN).await.expect_err("Alice");
    assert_eq!(refusal.reason(), Reason::SubjectMismatch);
}

#[tokio::test(start_paused = true)]
async fn user_info_is_not_asked_about_a_refused_token_and_its_own_word_counts() {
    let stub = Stub::new();
    let enriched = layer(&stub, issuer(ISSUER)).layer(introspection(&stub));
    stub.answer("/introspect", 200, &json!({"active": false}));
    assert_eq!(verify(enriched.clone(), TOKEN).await.expect_err("inactive").reason(), Reason::Inactive);
    assert_eq!(stub.calls("/userinfo"), 0);

    stub.answer("/introspect", 200, &super::stub::active());
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
        let user = UserContext::assertion(issuer(ISSUER), "job").with_kind(PrincipalKind::Client).build();
        Ok::<_, AuthError>(Arc::new(user))
    });
    let endpoint = UserInfoEndpoint::new(issuer(ISSUER), stub.egress(), clock());
    verify(Enriched::new(client, endpoint), TOKEN).await.expect("client");
    assert_eq!(stub.calls("/userinfo"), 0);
}
