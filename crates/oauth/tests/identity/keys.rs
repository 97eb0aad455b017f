//! Key sets: which keys are accepted, and why each other key is skipped.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Response, StatusCode};
use portcullis_core::Reason;
use portcullis_oauth::{
    ClientAuthentication, assertion,
    introspection::refresh_token_request,
    jwt::{Algorithm, InvalidKeySet, KeySet},
};
use serde_json::{Value, json};

use crate::{
    client_assertion,
    signing::{jwks, signed, with},
};

/// Returns the problem of the key, or nothing if the key is accepted or omitted.
fn problem(jwk: &Value) -> Option<&'static str> {
    // The second key is always accepted, because a set without a key is an error of its own.
    let set = json!({"keys": [jwk, jwks()["keys"][0]]});
    let set = KeySet::parse(set.to_string().as_bytes()).expect("a key is left");
    set.skipped().first().map(|skipped| skipped.problem)
}

fn number(bytes: &[u8]) -> Value {
    json!(URL_SAFE_NO_PAD.encode(bytes))
}

fn modulus(len: usize) -> Vec<u8> {
    let mut modulus = vec![0x55; len];
    modulus[0] = 0x80;
    modulus
}

fn rsa(modulus: &[u8], exponent: &[u8]) -> Value {
    json!({"kty": "RSA", "n": number(modulus), "e": number(exponent)})
}

#[test]
fn rsa_keys_have_2048_to_8192_bits_and_a_small_odd_exponent() {
    let usual = [1, 0, 1];
    let size = Some("RSA key of less than 2048 or more than 8192 bits");
    let exponent = Some("RSA exponent out of range");
    let mut just_short = modulus(256);
    just_short[0] = 0x7f;
    for (name, jwk, expected) in [
        ("2048 bits", rsa(&modulus(256), &usual), None),
        ("8192 bits", rsa(&modulus(1024), &usual), None),
        ("2048 bits and a sign byte", rsa(&[vec![0], modulus(256)].concat(), &usual), None),
        ("2047 bits", rsa(&just_short, &usual), size),
        ("2047 bits and zeros", rsa(&[vec![0; 8], just_short].concat(), &usual), size),
        ("1024 bits", rsa(&modulus(128), &usual), size),
        ("8200 bits", rsa(&modulus(1025), &usual), size),
        ("no modulus", rsa(&[], &usual), size),
        ("exponent 3", rsa(&modulus(256), &[3]), None),
        ("exponent of four bytes", rsa(&modulus(256), &[0xff, 0, 0, 1]), None),
        ("exponent 1", rsa(&modulus(256), &[0, 1]), exponent),
        ("even exponent", rsa(&modulus(256), &[1, 0]), exponent),
        ("no exponent", rsa(&modulus(256), &[]), exponent),
        ("exponent of five bytes", rsa(&modulus(256), &[1, 0, 0, 0, 1]), exponent),
    ] {
        assert_eq!(problem(&jwk), expected, "{name}");
    }
}

#[test]
fn keys_on_curves_have_the_length_of_their_curve() {
    let ec = |curve: &str, x: usize, y: usize| json!({"kty": "EC", "crv": curve, "x": number(&vec![1; x]), "y": number(&vec![1; y])});
    let okp = |len: usize| json!({"kty": "OKP", "crv": "Ed25519", "x": number(&vec![1; len])});
    let coordinates = Some("EC coordinates of the wrong length");
    for (name, jwk, expected) in [
        ("P-256", ec("P-256", 32, 32), None),
        ("P-384", ec("P-384", 48, 48), None),
        ("P-256, short x", ec("P-256", 31, 32), coordinates),
        ("P-256, long y", ec("P-256", 32, 33), coordinates),
        ("P-384 with coordinates of P-256", ec("P-384", 32, 32), coordinates),
        ("P-521", ec("P-521", 66, 66), Some("unsupported kty or crv")),
        ("Ed25519", okp(32), None),
        ("Ed25519, short", okp(31), Some("Ed25519 key of the wrong length")),
    ] {
        assert_eq!(problem(&jwk), expected, "{name}");
    }
}

#[test]
fn members_decide_what_a_key_may_be_used_for() {
    let good = jwks()["keys"][0].clone();
    let published = Some("a symmetric key, or a private one that was published");
    for (member, value, expected) in [
        ("alg", json!("ES256"), None),
        ("alg", json!("RS256"), Some("alg does not fit the key")),
        ("alg", json!("ES384"), Some("alg does not fit the key")),
        ("alg", json!("HS256"), Some("unsupported alg")),
        ("alg", json!(7), Some("unsupported alg")),
        ("kid", json!(7), Some("kid is not a string")),
        ("d", json!("AQ"), published),
        ("k", json!("AQ"), published),
    ] {
        assert_eq!(problem(&with(good.clone(), member, Some(value.clone()))), expected, "{member} {value}");
    }
    for (member, value, accepted) in [
        ("use", json!("sig"), true),
        ("use", json!("enc"), false),
        ("use", json!(null), false),
        ("key_ops", json!(["sign", "verify"]), true),
        ("key_ops", json!(["encrypt"]), false),
        ("key_ops", json!([]), false),
        ("key_ops", json!("verify"), false),
    ] {
        let set = json!({"keys": [with(good.clone(), member, Some(value.clone()))]});
        let outcome = KeySet::parse(set.to_string().as_bytes());
        assert_eq!(outcome.is_ok(), accepted, "{member} {value}: {outcome:?}");
    }
}

#[test]
fn a_key_is_used_only_with_the_algorithm_that_it_states() {
    let set = |alg: Value| json!({"keys": [with(jwks()["keys"][0].clone(), "alg", Some(alg))]}).to_string();
    let token = signed(&json!({"alg": "ES256", "kid": "k"}), &client_assertion::claims());
    let jwt = assertion::parse(&token.into()).expect("a JWT");
    let jwt = client_assertion::policy().check_header(jwt).expect("accepted");
    let stated = KeySet::parse(set(json!("ES256")).as_bytes()).expect("keys");
    let key = stated.select(&jwt).expect("it fits");
    assert!(key.fits(Algorithm::Es256));
    for other in Algorithm::ALL.iter().filter(|algorithm| **algorithm != Algorithm::Es256) {
        assert!(!key.fits(*other), "{other}");
    }
}

#[test]
fn only_a_200_has_keys() {
    let response = |status: StatusCode| {
        Response::builder().status(status).body(Bytes::from(jwks().to_string())).expect("response")
    };
    assert!(KeySet::process(&response(StatusCode::OK)).is_ok());
    for status in [StatusCode::CREATED, StatusCode::NOT_FOUND, StatusCode::INTERNAL_SERVER_ERROR] {
        assert!(matches!(KeySet::process(&response(status)), Err(InvalidKeySet::Protocol(_))), "{status}");
    }
}

#[test]
fn an_assertion_may_have_16_kib() {
    // Not three parts: the length was accepted, and the form was not.
    let parse = |len: usize| assertion::parse(&"A".repeat(len).into()).expect_err("refused").reason();
    assert_eq!(parse(16 * 1024), Reason::MalformedToken);
    assert_eq!(parse(16 * 1024 + 1), Reason::TokenTooLarge);
}

#[test]
fn a_request_about_a_refresh_token_says_what_it_is_about() {
    let endpoint = "https://idp.example/introspect".parse().expect("URI");
    let client = ClientAuthentication::post("app", "s3cret".into());
    let request = refresh_token_request(&endpoint, &client, &"R".into());
    assert_eq!((request.method().as_str(), request.uri()), ("POST", &endpoint));
    let form = String::from_utf8_lossy(request.body()).into_owned();
    let members: Vec<&str> = form.split('&').collect();
    for member in ["token=R", "token_type_hint=refresh_token", "client_id=app", "client_secret=s3cret"] {
        assert!(members.contains(&member), "{member} in {form}");
    }
}
