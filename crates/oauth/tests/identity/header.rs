//! Headers and signatures: the same rules for every type of token, and no type is accepted as another.

use portcullis_core::{AuthError, Issuer, Reason, ResourceUri};
use portcullis_oauth::{
    assertion,
    jwt::{Algorithm, JwtPolicy},
};
use serde_json::{Value, json};

use crate::{
    client_assertion, id_jag, id_token,
    signing::{NOW, attackers_jwk, signed, signed_by_attacker, signed_by_hmac, unsigned, verify, with},
};

/// A type of token: its `typ`, valid claims, and the policy that accepts it.
struct Kind {
    name: &'static str,
    typ: &'static str,
    claims: Value,
    ask: fn(&str) -> Option<Reason>,
}

fn kinds() -> [Kind; 3] {
    [
        Kind { name: "ID token", typ: "JWT", claims: id_token::claims(), ask: id_token::ask },
        Kind { name: "ID-JAG", typ: "oauth-id-jag+jwt", claims: id_jag::claims(), ask: id_jag::ask },
        Kind {
            name: "client assertion",
            typ: "client-authentication+jwt",
            claims: client_assertion::claims(),
            ask: client_assertion::ask,
        },
    ]
}

#[test]
fn ema_06_forged_headers_and_signatures_are_refused_for_every_kind() {
    for Kind { name, typ, claims, ask } in kinds() {
        let header = json!({"alg": "ES256", "typ": typ, "kid": "k"});
        assert_eq!(ask(&signed(&header, &claims)), None, "{name}: the original is accepted");
        assert_eq!(ask(&signed_by_attacker(&header, &claims)), Some(Reason::BadSignature), "{name}");
        assert_eq!(ask(&unsigned(&header, &claims)), Some(Reason::BadSignature), "{name}");
        for (member, value, reason) in [
            ("alg", json!("none"), Reason::AlgorithmRefused),
            ("alg", json!("HS256"), Reason::AlgorithmRefused),
            ("alg", json!("ES384"), Reason::UnknownKey),
            ("crit", json!(["exp"]), Reason::CriticalHeader),
            ("b64", json!(false), Reason::CriticalHeader),
            ("jwk", attackers_jwk(), Reason::EmbeddedKey),
            ("jku", json!("https://attacker.example/keys"), Reason::EmbeddedKey),
            ("x5c", json!(["MIIB"]), Reason::EmbeddedKey),
            ("zip", json!("DEF"), Reason::EncryptedToken),
            ("kid", json!("other"), Reason::UnknownKey),
            ("kid", json!(7), Reason::MalformedToken),
            ("typ", json!("at+jwt"), Reason::WrongType),
            ("typ", json!("logout+jwt"), Reason::WrongType),
            ("typ", json!("dpop+jwt"), Reason::WrongType),
            ("typ", json!(["JWT"]), Reason::WrongType),
            ("typ", json!(""), Reason::WrongType),
        ] {
            let forged = with(header.clone(), member, Some(value));
            assert_eq!(ask(&signed(&forged, &claims)), Some(reason), "{name}: {forged}");
            assert!(ask(&signed_by_attacker(&forged, &claims)).is_some(), "{name}: {forged}");
        }
        let none = with(header.clone(), "alg", Some(json!("none")));
        assert_eq!(ask(&unsigned(&none, &claims)), Some(Reason::AlgorithmRefused), "{name}");
        let confused = with(header, "alg", Some(json!("HS256")));
        assert_eq!(ask(&signed_by_hmac(&confused, &claims)), Some(Reason::AlgorithmRefused), "{name}");
    }
}

#[test]
fn ema_06_one_kind_is_never_taken_for_another() {
    for Kind { name, typ, claims, .. } in kinds() {
        let token = signed(&json!({"alg": "ES256", "typ": typ, "kid": "k"}), &claims);
        for other in kinds().into_iter().filter(|other| other.name != name) {
            assert!((other.ask)(&token).is_some(), "{name} as {}", other.name);
        }
    }
}

#[test]
fn what_was_screened_for_one_use_is_not_checked_for_another() {
    let token = signed(&json!({"alg": "ES256", "kid": "k"}), &client_assertion::claims());
    let checked =
        client_assertion::policy().check_header(assertion::parse(&token.into()).expect("a JWT")).expect("checked");
    let access = JwtPolicy::new(
        Issuer::new("https://idp.example.com").expect("issuer"),
        ResourceUri::new("https://mcp.example.com/mcp").expect("resource"),
    );
    let error = access.check(verify(checked).expect("signed"), NOW).expect_err("not an access token");
    assert_eq!(error.reason(), Reason::WrongType);
}

#[test]
fn algorithms_can_be_fewer() {
    let header = json!({"alg": "ES256", "typ": "oauth-id-jag+jwt", "kid": "k"});
    let jwt = || assertion::parse(&signed(&header, &id_jag::claims()).into()).expect("a JWT");
    let screen = |algorithm: Algorithm| id_jag::policy().with_algorithms([algorithm]).check_header(jwt()).map(drop);
    assert!(screen(Algorithm::Es256).is_ok());
    let reason = |outcome: Result<(), AuthError>| outcome.expect_err("refused").reason();
    assert_eq!(reason(screen(Algorithm::Rs256)), Reason::AlgorithmRefused);
}

#[test]
fn what_is_too_large_or_no_token_is_refused_before_it_is_read() {
    let parse = |text: String| assertion::parse(&text.into()).expect_err("refused").reason();
    assert_eq!(parse("A".repeat(16 * 1024 + 1)), Reason::TokenTooLarge);
    for text in ["", "a b.c.d", "ä.b.c", "a.b", "a.b.c", "a\n.b.c"] {
        assert_eq!(parse(text.to_owned()), Reason::MalformedToken, "{text:?}");
    }
    let huge = id_token::policy().check_header(&"A".repeat(64 * 1024 + 1).into()).expect_err("refused");
    assert_eq!(huge.reason(), Reason::TokenTooLarge);
}
