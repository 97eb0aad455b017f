//! ID-JAGs: each forged claim is rejected with its reason.

use std::time::Duration;

use portcullis_core::{AuthError, Issuer, Reason};
use portcullis_oauth::assertion::{self, IdJag, IdJagPolicy};
use serde_json::{Value, json};

use crate::signing::{NOW, each_is_refused, signed, verify, with};

const IDP: &str = "https://idp.example.com";
const OURS: &str = "https://mcp.example.com";
const RESOURCE: &str = "https://mcp.example.com/mcp";

pub(crate) fn policy() -> IdJagPolicy {
    IdJagPolicy::new(Issuer::new(IDP).expect("issuer"), Issuer::new(OURS).expect("issuer"))
}

pub(crate) fn claims() -> Value {
    let now = NOW.as_secs();
    json!({
        "iss": IDP, "sub": "alice", "aud": OURS, "client_id": "client", "jti": "j1", "exp": now + 300, "iat": now,
        "resource": RESOURCE, "scope": "mcp:read mcp:write", "email": "alice@example.com",
    })
}

fn token(claims: &Value) -> String {
    signed(&json!({"alg": "ES256", "typ": "oauth-id-jag+jwt", "kid": "k"}), claims)
}

fn check(token: &str) -> Result<IdJag, AuthError> {
    let jwt = assertion::parse(&token.into())?;
    policy().check(verify(policy().check_header(jwt)?)?, "client", NOW)
}

pub(crate) fn ask(token: &str) -> Option<Reason> {
    check(token).err().map(|error| error.reason())
}

#[test]
fn ema_06_an_id_jag_has_client_user_resources_and_scopes() {
    let id_jag = check(&token(&claims())).expect("accepted");
    assert_eq!((id_jag.issuer().as_str(), id_jag.subject(), id_jag.client_id()), (IDP, "alice", "client"));
    assert_eq!(id_jag.resources().iter().map(|resource| resource.as_str()).collect::<Vec<_>>(), [RESOURCE]);
    assert_eq!(id_jag.scopes().map(ToString::to_string).as_deref(), Some("mcp:read mcp:write"));
    assert_eq!(id_jag.claims().claim("email"), Some(&json!("alice@example.com")));
    assert!(!format!("{id_jag:?}").contains("alice@example.com"));

    let silent = with(with(claims(), "resource", None), "scope", None);
    let id_jag = check(&token(&silent)).expect("accepted");
    assert!(id_jag.resources().is_empty() && id_jag.scopes().is_none());
    let nothing = check(&token(&with(claims(), "scope", Some(json!(""))))).expect("accepted");
    assert!(nothing.scopes().is_some_and(|scopes| scopes.is_empty()), "nothing is not everything");
    let several = with(claims(), "resource", Some(json!([RESOURCE, "https://other.example.com"])));
    assert_eq!(check(&token(&several)).expect("accepted").resources().len(), 2);
}

#[test]
fn ema_06_every_forged_claim_is_refused_for_its_own_reason() {
    let now = NOW.as_secs();
    let is = |value: Value| Some(value);
    each_is_refused(
        &claims(),
        |claims| ask(&token(claims)),
        &[
            (
                "iss",
                vec![is(json!("https://idp.example.com/")), is(json!("https://attacker.example"))],
                Reason::WrongIssuer,
            ),
            ("iss", vec![None, is(json!("")), is(json!([IDP]))], Reason::MissingClaim),
            (
                "aud",
                vec![
                    is(json!("https://mcp.example.com/")),
                    is(json!("https://mcp.example.com/token")),
                    is(json!(RESOURCE)),
                    is(json!([OURS, "https://other.example.com"])),
                    is(json!([OURS, OURS])),
                ],
                Reason::WrongAudience,
            ),
            ("aud", vec![None, is(json!([])), is(json!([7]))], Reason::MissingClaim),
            ("client_id", vec![is(json!("other")), is(json!("Client"))], Reason::WrongClient),
            ("client_id", vec![None, is(json!("")), is(json!(["client"]))], Reason::MissingClaim),
            ("exp", vec![is(json!(now - 60)), is(json!(0))], Reason::Expired),
            ("exp", vec![is(json!(now + 3661)), is(json!(1e300))], Reason::TooLongLived),
            ("exp", vec![None, is(json!("soon"))], Reason::MissingClaim),
            ("nbf", vec![is(json!(now + 61))], Reason::NotYetValid),
            ("iat", vec![is(json!(now + 61))], Reason::IssuedInFuture),
            ("iat", vec![None, is(json!(null))], Reason::MissingClaim),
            ("cnf", vec![is(json!({"jkt": "x"})), is(json!(null))], Reason::KeyBound),
            ("sub", vec![None, is(json!("")), is(json!(7))], Reason::MissingClaim),
            ("jti", vec![None, is(json!("")), is(json!(7))], Reason::MissingClaim),
            ("resource", vec![is(json!("/mcp")), is(json!(7)), is(json!([RESOURCE, null]))], Reason::MissingClaim),
            ("scope", vec![is(json!("a\"b")), is(json!(7))], Reason::MissingClaim),
        ],
    );
    let one = with(claims(), "aud", Some(json!([OURS])));
    assert_eq!(ask(&token(&one)), None, "a list of one");
    // No other claim replaces a missing `client_id`.
    let azp = with(with(claims(), "client_id", None), "azp", Some(json!("client")));
    assert_eq!(ask(&token(&azp)), Some(Reason::MissingClaim));
}

#[test]
fn ema_06_the_type_is_that_of_an_id_jag_and_no_other() {
    let typed = |typ: Option<Value>| ask(&signed(&with(json!({"alg": "ES256", "kid": "k"}), "typ", typ), &claims()));
    for typ in ["oauth-id-jag+jwt", "OAuth-ID-JAG+JWT", "application/oauth-id-jag+jwt"] {
        assert_eq!(typed(Some(json!(typ))), None, "{typ}");
    }
    for typ in [None, Some(json!("JWT")), Some(json!("id-jag+jwt")), Some(json!("oauth-id-jag")), Some(json!(null))] {
        assert_eq!(typed(typ.clone()), Some(Reason::WrongType), "{typ:?}");
    }
}

#[test]
fn ema_07_the_evidence_has_the_jti_and_the_time_until_which_it_is_stored() {
    let (expires_at, jwt) = (NOW + Duration::from_secs(300), token(&claims()));
    let id_jag = check(&jwt).expect("accepted");
    assert_eq!((id_jag.jti(), id_jag.accepted_until()), ("j1", expires_at + Duration::from_secs(60)));
    let at = |now| {
        let checked = policy().check_header(assertion::parse(&jwt.as_str().into()).expect("a JWT")).expect("checked");
        policy().check(verify(checked).expect("signed"), "client", now).map(drop)
    };
    assert!(at(NOW + Duration::from_secs(359)).is_ok());
    assert_eq!(at(id_jag.accepted_until()).expect_err("by then it is too old").reason(), Reason::Expired);
}
