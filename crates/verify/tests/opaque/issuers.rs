//! `IssuerRouter`.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use portcullis_core::{AuthError, BearerToken, Reason, UserContext, VerifyToken};
use portcullis_verify::{ConfigError, IssuerRouter, UserInfoEndpoint, UserInfoLayer};
use tower::{Layer as _, service_fn};

use super::stub::{ISSUER, Stub, TOKEN, clock, introspection, issuer, verify};

const OTHER: &str = "https://other.example";

/// Creates a verifier that accepts every token as one of a user of `name`, and the count of its calls.
fn fake(name: &'static str) -> (impl VerifyToken<Future: Send> + Clone + Send + Sync, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let verifier = service_fn(move |_: BearerToken| {
        counter.fetch_add(1, Ordering::Relaxed);
        async move { Ok::<_, AuthError>(Arc::new(UserContext::builder(issuer(name), "alice").build())) }
    });
    (verifier, calls)
}

fn jwt(payload: &str) -> String {
    let part = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.{}", part(r#"{"alg":"RS256"}"#), part(payload), part("signature"))
}

fn calls(counter: &AtomicUsize) -> usize {
    counter.load(Ordering::Relaxed)
}

#[tokio::test(start_paused = true)]
async fn a_jwt_goes_to_the_verifier_of_the_issuer_it_names_and_to_no_other() {
    let ((first, first_calls), (second, second_calls)) = (fake(ISSUER), fake(OTHER));
    let issuers = IssuerRouter::builder()
        .with_issuer(issuer(ISSUER), first)
        .with_issuer(issuer(OTHER), second)
        .build()
        .expect("issuers");
    let user = verify(issuers.clone(), &jwt(&format!(r#"{{"iss":"{OTHER}"}}"#))).await.expect("user");
    assert_eq!(user.issuer().as_str(), OTHER);
    for (payload, reason) in [
        (r#"{"iss":"https://idp.example/"}"#, Reason::UnknownIssuer),
        (r#"{"iss":"https://evil.example"}"#, Reason::UnknownIssuer),
        (r#"{"iss":7}"#, Reason::MissingClaim),
        ("{}", Reason::MissingClaim),
        (r#"{"iss":"https://idp.example","iss":"https://other.example"}"#, Reason::MalformedToken),
        ("not json", Reason::MalformedToken),
    ] {
        assert_eq!(verify(issuers.clone(), &jwt(payload)).await.expect_err(payload).reason(), reason, "{payload}");
    }
    assert_eq!(verify(issuers, TOKEN).await.expect_err("opaque").reason(), Reason::MalformedToken);
    assert_eq!((calls(&first_calls), calls(&second_calls)), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn an_opaque_token_goes_to_the_verifier_for_opaque_tokens_as_do_jwts_of_its_issuer() {
    let stub = Stub::new();
    let (other, other_calls) = fake(OTHER);
    let issuers = IssuerRouter::builder()
        .with_issuer(issuer(OTHER), other)
        .with_opaque_issuer(issuer(ISSUER), introspection(&stub))
        .build()
        .expect("issuers");
    for token in [TOKEN, "a.b.c", "..", &jwt(&format!(r#"{{"iss":"{ISSUER}"}}"#))] {
        let user = verify(issuers.clone(), token).await.expect(token);
        assert_eq!(user.issuer().as_str(), ISSUER);
    }
    assert_eq!((stub.calls("/introspect"), calls(&other_calls)), (4, 0));
    let unknown = verify(issuers.clone(), &jwt(r#"{"iss":"https://evil.example"}"#)).await.expect_err("unknown");
    assert_eq!((unknown.reason(), stub.calls("/introspect")), (Reason::UnknownIssuer, 4));
    // A malformed JWT is not passed to the verifier for opaque tokens.
    let broken = verify(issuers, "eyJhbGciOiJSUzI1NiJ9.~.x").await.expect_err("broken");
    assert_eq!(broken.reason(), Reason::MalformedToken);
}

#[tokio::test(start_paused = true)]
async fn a_verifier_cannot_return_users_of_another_issuer() {
    let (liar, _) = fake(OTHER);
    let issuers = IssuerRouter::builder().with_issuer(issuer(ISSUER), liar).build().expect("issuers");
    let refusal = verify(issuers, &jwt(&format!(r#"{{"iss":"{ISSUER}"}}"#))).await.expect_err("liar");
    assert_eq!(refusal.reason(), Reason::WrongIssuer);
}

#[tokio::test(start_paused = true)]
async fn a_huge_token_is_not_parsed() {
    let (verifier, asked) = fake(ISSUER);
    let issuers =
        IssuerRouter::builder().with_opaque_issuer(issuer(ISSUER), verifier).with_max_len(64).build().expect("issuers");
    let refusal = verify(issuers, &"x".repeat(65)).await.expect_err("huge");
    assert_eq!((refusal.reason(), calls(&asked)), (Reason::TokenTooLarge, 0));
}

#[test]
fn an_ambiguous_configuration_is_an_error() {
    let builder = || IssuerRouter::builder().with_opaque_issuer(issuer(ISSUER), fake(ISSUER).0);
    let twice = builder().with_issuer(issuer(ISSUER), fake(ISSUER).0).build().expect_err("twice");
    assert_eq!(twice, ConfigError::DuplicateIssuer(issuer(ISSUER)));
    let both = builder().with_opaque_issuer(issuer(OTHER), fake(OTHER).0).build().expect_err("both");
    assert_eq!(both, ConfigError::TwoForOpaqueTokens(issuer(ISSUER), issuer(OTHER)));
    assert!(both.to_string().contains(ISSUER) && both.to_string().contains(OTHER));
    assert_eq!(IssuerRouter::builder().build().expect_err("none"), ConfigError::NoIssuer);
    assert_eq!(builder().build().expect("one").iter().count(), 1);
}

#[tokio::test(start_paused = true)]
async fn rs_14_a_token_is_sent_to_its_own_issuer_only() {
    let (own, (other, other_calls)) = (Stub::new(), fake(OTHER));
    let profile = UserInfoLayer::new(UserInfoEndpoint::new(issuer(ISSUER), own.egress()).with_clock(clock()));
    let issuers = IssuerRouter::builder()
        .with_opaque_issuer(issuer(ISSUER), profile.layer(introspection(&own)))
        .with_issuer(issuer(OTHER), profile.layer(other))
        .build()
        .expect("issuers");
    // The other verifier is not called at all.
    for (foreign, reason) in [
        (jwt(r#"{"iss":"https://evil.example"}"#), Reason::UnknownIssuer),
        (jwt("{}"), Reason::MissingClaim),
        (jwt("not json"), Reason::MalformedToken),
    ] {
        assert_eq!(verify(issuers.clone(), &foreign).await.expect_err("foreign").reason(), reason);
    }
    verify(issuers.clone(), &jwt(&format!(r#"{{"iss":"{OTHER}"}}"#))).await.expect("user of the other");
    assert_eq!((own.all_calls(), calls(&other_calls)), (0, 1));
    verify(issuers, TOKEN).await.expect("our own");
    assert_eq!((own.calls("/introspect"), own.calls("/userinfo"), calls(&other_calls)), (1, 1, 1));
}
