//! Forged headers, signed by a valid key unless there is no signature.

use aws_lc_rs::hmac;
use portcullis_core::Reason;
use serde_json::{Value, json};

use super::{Forgery, forgery};
use crate::signing::{ATTACKER, P256, RSA, claims, encode};

pub(super) fn forgeries() -> Vec<Forgery> {
    [unsigned(), confused(), types(), extensions(), embedded_keys(), encrypted()].concat()
}

fn unsigned() -> Vec<Forgery> {
    let mut forgeries = Vec::new();
    for algorithm in [json!("none"), json!("None"), json!("NONE"), json!("nOnE"), json!(""), json!(null), json!(7)] {
        let message = message(&json!({"alg": algorithm, "typ": "at+jwt", "kid": "rsa"}));
        let garbage = encode([0; 256]);
        for (what, signature) in [("without signature", ""), ("with any signature", garbage.as_str())] {
            let token = format!("{message}.{signature}");
            forgeries.push(forgery(format!("alg {algorithm} {what}"), token, Reason::AlgorithmRefused));
        }
    }
    let missing = RSA.token(|header, _| *header = json!({"typ": "at+jwt", "kid": "rsa"}));
    let list = RSA.token(|header, _| header["alg"] = json!(["RS256"]));
    let case = RSA.token(|header, _| header["alg"] = json!("rs256"));
    forgeries.push(forgery("alg missing", missing, Reason::AlgorithmRefused));
    forgeries.push(forgery("alg a list", list, Reason::AlgorithmRefused));
    forgeries.push(forgery("alg in another case", case, Reason::AlgorithmRefused));
    forgeries
}

/// HMAC with the public key as secret, in each form in which a server might have the key.
fn confused() -> Vec<Forgery> {
    let [spki, pkcs1] = RSA.public_der();
    let body = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &spki);
    let lines: Vec<_> = body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("ASCII")).collect();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"));
    let secrets = [
        ("PEM", pem.into_bytes()),
        ("SPKI DER", spki),
        ("PKCS #1 DER", pkcs1),
        ("JWK", RSA.jwk().to_string().into_bytes()),
        ("modulus", RSA.jwk()["n"].as_str().expect("n").as_bytes().to_vec()),
        ("nothing", Vec::new()),
    ];
    let algorithms = [("HS256", hmac::HMAC_SHA256), ("HS384", hmac::HMAC_SHA384), ("HS512", hmac::HMAC_SHA512)];
    let mut forgeries = Vec::new();
    for (form, secret) in &secrets {
        for (name, algorithm) in algorithms {
            let message = message(&json!({"alg": name, "typ": "at+jwt", "kid": "rsa"}));
            let tag = hmac::sign(&hmac::Key::new(algorithm, secret), message.as_bytes());
            let token = format!("{message}.{}", encode(tag));
            forgeries.push(forgery(format!("{name} keyed with the {form}"), token, Reason::AlgorithmRefused));
        }
    }
    forgeries
}

fn types() -> Vec<Forgery> {
    let types = [
        json!("JWT"),
        json!("jwt"),
        json!("id_token+jwt"),
        json!("dpop+jwt"),
        json!("logout+jwt"),
        json!("at+jwt "),
        json!("at"),
        json!("application/"),
        json!("application/application/at+jwt"),
        json!(""),
        json!(null),
        json!(1),
    ];
    let with = |typ: &Value| RSA.token(|header, _| header["typ"] = typ.clone());
    let mut forgeries: Vec<_> =
        types.iter().map(|typ| forgery(format!("typ {typ}"), with(typ), Reason::WrongType)).collect();
    let missing = RSA.token(|header, _| *header = json!({"alg": "RS256", "kid": "rsa"}));
    forgeries.push(forgery("typ missing", missing, Reason::WrongType));
    forgeries
}

fn extensions() -> Vec<Forgery> {
    let with = |members: Value| {
        RSA.token(|header, _| {
            for (name, value) in members.as_object().expect("members") {
                header[name] = value.clone();
            }
        })
    };
    [
        ("crit exp", json!({"crit": ["exp"], "exp": 1})),
        ("crit empty", json!({"crit": []})),
        ("crit null", json!({"crit": null})),
        ("crit unknown", json!({"crit": ["http://example.com/x"], "http://example.com/x": true})),
        ("b64 false and crit", json!({"b64": false, "crit": ["b64"]})),
        ("b64 false alone", json!({"b64": false})),
    ]
    .map(|(name, members)| forgery(name, with(members), Reason::CriticalHeader))
    .to_vec()
}

/// Signed by the attacker, with the key that verifies the signature.
fn embedded_keys() -> Vec<Forgery> {
    [
        ("jwk", json!(ATTACKER.jwk())),
        ("jku", json!("https://attacker.example/jwks")),
        ("x5u", json!("https://attacker.example/cert.pem")),
        ("x5c", json!(["MIIB"])),
    ]
    .into_iter()
    .flat_map(|(name, value)| {
        let by_attacker = ATTACKER.token(|header, _| header[name] = value.clone());
        let by_issuer = RSA.token(|header, _| header[name] = value.clone());
        [
            forgery(format!("{name} of the attacker"), by_attacker, Reason::EmbeddedKey),
            forgery(format!("{name} in a token of the issuer"), by_issuer, Reason::EmbeddedKey),
        ]
    })
    .collect()
}

fn encrypted() -> Vec<Forgery> {
    let jwe_header = encode(json!({"alg": "RSA-OAEP-256", "enc": "A256GCM", "kid": "rsa"}).to_string());
    let jwe = format!("{jwe_header}.{0}.{0}.{0}.{0}", encode([7; 32]));
    vec![
        forgery("JWE", jwe, Reason::EncryptedToken),
        forgery("JWE without key", "e30....".to_owned(), Reason::EncryptedToken),
        forgery("zip", RSA.token(|header, _| header["zip"] = json!("DEF")), Reason::EncryptedToken),
        forgery("enc in three parts", P256.token(|header, _| header["enc"] = json!("A256GCM")), Reason::EncryptedToken),
    ]
}

fn message(header: &Value) -> String {
    format!("{}.{}", encode(header.to_string()), encode(claims().to_string()))
}
