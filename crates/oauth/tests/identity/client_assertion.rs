//! Client assertions: each forged claim is rejected with its reason.

use std::time::Duration;

use portcullis_core::{AuthError, Issuer, Reason};
use portcullis_oauth::assertion::{self, ClientAssertion, ClientAssertionPolicy};
use serde_json::{Value, json};

use crate::signing::{NOW, each_is_refused, signed, verify, with};

const OURS: &str = "https://mcp.example.com";

pub(crate) fn policy() -> ClientAssertionPolicy {
    ClientAssertionPolicy::new("client", Issuer::new(OURS).expect("issuer"))
}

pub(crate) fn claims() -> Value {
    let now = NOW.as_secs();
    json!({"iss": "client", "sub": "client", "aud": OURS, "exp": now + 60, "iat": now, "jti": "j1"})
}

fn token(claims: &Value) -> String {
    signed(&json!({"alg": "ES256", "kid": "k"}), claims)
}

fn check(token: &str) -> Result<ClientAssertion, AuthError> {
    let jwt = assertion::parse(&token.into())?;
    policy().check(verify(policy().check_header(jwt)?)?, NOW)
}

pub(crate) fn ask(token: &str) -> Option<Reason> {
    check(token).err().map(|error| error.reason())
}

#[test]
fn proves_who_the_client_is_once() {
    let jwt = assertion::parse(&token(&claims()).into()).expect("a JWT");
    assert_eq!(jwt.claimed_issuer().expect("iss"), "client", "for choosing the policy");
    let proof = check(&token(&claims())).expect("accepted");
    assert_eq!((proof.client_id(), proof.jti()), ("client", "j1"));
    assert_eq!(proof.accepted_until(), NOW + Duration::from_secs(120), "its end, and the leeway");
}

#[test]
fn every_forged_claim_is_refused_for_its_own_reason() {
    let now = NOW.as_secs();
    let is = |value: Value| Some(value);
    each_is_refused(
        &claims(),
        |claims| ask(&token(claims)),
        &[
            ("iss", vec![is(json!("other"))], Reason::WrongClient),
            ("iss", vec![None, is(json!("")), is(json!(["client"]))], Reason::MissingClaim),
            ("sub", vec![is(json!("other"))], Reason::WrongClient),
            ("sub", vec![None, is(json!("")), is(json!(7))], Reason::MissingClaim),
            (
                "aud",
                vec![
                    is(json!("https://mcp.example.com/token")),
                    is(json!("https://mcp.example.com/")),
                    is(json!([OURS, "https://mcp.example.com/token"])),
                    is(json!(["https://other.example.com"])),
                ],
                Reason::WrongAudience,
            ),
            ("aud", vec![None, is(json!([])), is(json!(null))], Reason::MissingClaim),
            ("exp", vec![is(json!(now - 60))], Reason::Expired),
            ("exp", vec![is(json!(now + 661)), is(json!(1e300))], Reason::TooLongLived),
            ("exp", vec![None, is(json!("soon"))], Reason::MissingClaim),
            ("nbf", vec![is(json!(now + 61))], Reason::NotYetValid),
            ("iat", vec![is(json!(now + 61))], Reason::IssuedInFuture),
            ("jti", vec![None, is(json!("")), is(json!(7))], Reason::MissingClaim),
        ],
    );
    assert_eq!(ask(&token(&with(claims(), "iat", None))), None, "not required");
    assert_eq!(ask(&token(&with(claims(), "aud", Some(json!([OURS]))))), None, "a list of one");
}

#[test]
fn the_token_endpoint_is_an_audience_of_assertions_without_a_type_only() {
    const TOKEN_ENDPOINT: &str = "https://mcp.example.com/token";
    let check = |typ: Option<&str>, audience: Value| {
        let policy = policy().with_token_endpoint(TOKEN_ENDPOINT);
        let mut header = json!({"alg": "ES256", "kid": "k"});
        if let Some(typ) = typ {
            header["typ"] = typ.into();
        }
        let jwt = assertion::parse(&signed(&header, &with(claims(), "aud", Some(audience))).into()).expect("a JWT");
        policy.check(verify(policy.check_header(jwt).expect("a header")).expect("signed"), NOW).map(drop)
    };
    for typ in [None, Some("JWT"), Some("application/jwt")] {
        for accepted in [json!(OURS), json!([OURS]), json!(TOKEN_ENDPOINT), json!([TOKEN_ENDPOINT])] {
            check(typ, accepted).expect("for this server alone");
        }
        for refused in [
            json!([OURS, TOKEN_ENDPOINT]),
            json!([TOKEN_ENDPOINT, "https://other.example.com"]),
            json!("https://mcp.example.com/token/"),
            json!("https://mcp.example.com/revoke"),
        ] {
            let error = check(typ, refused.clone()).expect_err("not for this server alone");
            assert_eq!(error.reason(), Reason::WrongAudience, "{typ:?} {refused}");
        }
    }
    let typed = Some("client-authentication+jwt");
    check(typed, json!(OURS)).expect("the issuer");
    let error = check(typed, json!(TOKEN_ENDPOINT)).expect_err("the issuer alone");
    assert_eq!(error.reason(), Reason::WrongAudience);
    let source = std::error::Error::source(&error).expect("what was found").to_string();
    assert_eq!(source, format!("the claim `aud` is [{TOKEN_ENDPOINT:?}]; expected is {OURS:?} alone"));
}

#[test]
fn the_type_is_optional() {
    let typed = |typ: &str| ask(&signed(&json!({"alg": "ES256", "kid": "k", "typ": typ}), &claims()));
    for typ in ["client-authentication+jwt", "application/client-authentication+jwt", "JWT"] {
        assert_eq!(typed(typ), None, "{typ}");
    }
    assert_eq!(typed("oauth-id-jag+jwt"), Some(Reason::WrongType));
}
