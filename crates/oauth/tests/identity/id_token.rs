//! ID tokens: forged claims, each refused for its own reason.

use std::time::Duration;

use portcullis_core::{AuthError, BearerToken, Issuer, Reason};
use portcullis_oauth::id_token::{IdToken, IdTokenPolicy};
use serde_json::{Value, json};

use crate::signing::{NOW, each_is_refused, signed, verify, with};

const ISSUER: &str = "https://idp.example.com/realms/x";
const NONCE: &str = "n-0S6_WzA2Mj";

pub(crate) fn policy() -> IdTokenPolicy {
    IdTokenPolicy::new(Issuer::new(ISSUER).expect("issuer"), "app")
}

pub(crate) fn claims() -> Value {
    let now = NOW.as_secs();
    // The hash is that of the example in the standard, as the access token is.
    json!({
        "iss": ISSUER, "sub": "alice", "aud": "app", "exp": now + 300, "iat": now, "nonce": NONCE,
        "at_hash": "77QmUPtjPfzWtF2AnpK9RQ", "email": "alice@example.com",
    })
}

fn check(policy: &IdTokenPolicy, token: &str) -> Result<IdToken, AuthError> {
    let access_token = BearerToken::new("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y").expect("token");
    policy.check(verify(policy.check_header(&token.into())?)?, NONCE, &access_token, NOW)
}

fn token(claims: &Value) -> String {
    signed(&json!({"alg": "ES256", "kid": "k"}), claims)
}

fn reason(policy: &IdTokenPolicy, token: &str) -> Option<Reason> {
    check(policy, token).err().map(|error| error.reason())
}

pub(crate) fn ask(token: &str) -> Option<Reason> {
    reason(&policy(), token)
}

#[test]
fn says_who_logged_in() {
    let id_token = check(&policy(), &token(&claims())).expect("accepted");
    assert_eq!((id_token.issuer().as_str(), id_token.subject()), (ISSUER, "alice"));
    assert_eq!(id_token.claims().claim("email"), Some(&json!("alice@example.com")));
    assert!(!format!("{id_token:?}").contains("alice@example.com"));
}

#[test]
fn every_forged_claim_is_refused_for_its_own_reason() {
    let now = NOW.as_secs();
    let is = |value: Value| Some(value);
    each_is_refused(
        &claims(),
        |claims| ask(&token(claims)),
        &[
            (
                "iss",
                vec![
                    is(json!("https://idp.example.com/realms/x/")),
                    is(json!("https://IDP.example.com/realms/x")),
                    is(json!("idp.example.com/realms/x")),
                    is(json!("")),
                ],
                Reason::WrongIssuer,
            ),
            ("iss", vec![None, is(json!([ISSUER]))], Reason::MissingClaim),
            (
                "aud",
                vec![is(json!("other")), is(json!("App")), is(json!(["a", "b"])), is(json!(""))],
                Reason::WrongAudience,
            ),
            // Several, without a word to whom of them it was issued.
            ("aud", vec![None, is(json!([])), is(json!(7)), is(json!(["app", "other"]))], Reason::MissingClaim),
            ("azp", vec![is(json!("other"))], Reason::WrongClient),
            ("azp", vec![is(json!("")), is(json!(null))], Reason::MissingClaim),
            ("exp", vec![is(json!(now - 60)), is(json!(0))], Reason::Expired),
            ("exp", vec![None, is(json!("soon")), is(json!(null))], Reason::MissingClaim),
            ("nbf", vec![is(json!(now + 61))], Reason::NotYetValid),
            ("iat", vec![is(json!(now + 61))], Reason::IssuedInFuture),
            ("iat", vec![is(json!(now - 661)), is(json!(0))], Reason::Expired),
            ("iat", vec![None, is(json!("now"))], Reason::MissingClaim),
            (
                "nonce",
                vec![is(json!("n-0S6_WzA2Mk")), is(json!("n")), is(json!(format!("{NONCE} ")))],
                Reason::NotOfThisLogin,
            ),
            ("nonce", vec![None, is(json!("")), is(json!([NONCE]))], Reason::MissingClaim),
            ("at_hash", vec![is(json!("77QmUPtjPfzWtF2AnpK9RR")), is(json!("x"))], Reason::NotOfThisLogin),
            ("at_hash", vec![is(json!("")), is(json!(null))], Reason::MissingClaim),
            ("sub", vec![None, is(json!("")), is(json!(7))], Reason::MissingClaim),
        ],
    );
}

#[test]
fn what_is_optional_may_be_absent_or_right() {
    for (claim, value) in [
        ("at_hash", None),
        ("azp", Some(json!("app"))),
        ("aud", Some(json!(["app"]))),
        ("exp", Some(json!(NOW.as_secs() - 59))),
        ("iat", Some(json!(NOW.as_secs() - 660))),
        ("iat", Some(json!(NOW.as_secs() + 60))),
    ] {
        assert_eq!(ask(&token(&with(claims(), claim, value.clone()))), None, "{claim} {value:?}");
    }
    let several = with(with(claims(), "aud", Some(json!(["other", "app"]))), "azp", Some(json!("app")));
    assert_eq!(ask(&token(&several)), None);
}

#[test]
fn an_alias_is_an_exact_name_too() {
    let google = IdTokenPolicy::new(Issuer::new("https://accounts.google.com").expect("issuer"), "app");
    let from = |issuer: &str| token(&with(claims(), "iss", Some(json!(issuer))));
    assert_eq!(reason(&google, &from("accounts.google.com")), Some(Reason::WrongIssuer));
    let google = google.with_issuer_alias("accounts.google.com");
    for issuer in ["accounts.google.com", "https://accounts.google.com"] {
        let id_token = check(&google, &from(issuer)).expect(issuer);
        assert_eq!(id_token.issuer().as_str(), "https://accounts.google.com", "one user, one issuer");
    }
    assert_eq!(reason(&google, &from("http://accounts.google.com")), Some(Reason::WrongIssuer));
}

#[test]
fn leeway_has_an_end() {
    let hour = policy().with_leeway(Duration::from_hours(1));
    let expired = |ago: u64| token(&with(claims(), "exp", Some(json!(NOW.as_secs() - ago))));
    assert_eq!(reason(&hour, &expired(299)), None);
    assert_eq!(reason(&hour, &expired(300)), Some(Reason::Expired));
    let none = policy().with_leeway(Duration::ZERO);
    assert_eq!(reason(&none, &expired(0)), Some(Reason::Expired));
}
