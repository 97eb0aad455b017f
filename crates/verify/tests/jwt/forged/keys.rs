//! Forged signatures: by a wrong key, or by a wrong use of the right key.

use portcullis_core::Reason;
use serde_json::json;

use super::{Forgery, forgery};
use crate::signing::{ATTACKER, ED25519, Key, OTHER_RSA, P256, P384, RSA, claims, encode};

pub(super) fn forgeries() -> Vec<Forgery> {
    [kids(), relabelled(), signatures()].concat()
}

fn kids() -> Vec<Forgery> {
    let kid = |key: &Key, kid: &str| key.token(|header, _| header["kid"] = json!(kid));
    let mut forgeries = vec![
        forgery("signed by the attacker under our kid", ATTACKER.token(|_, _| {}), Reason::BadSignature),
        forgery("kid of another RSA key", kid(&RSA, "other-rsa"), Reason::BadSignature),
        forgery("kid of a key of another type", kid(&P256, "rsa"), Reason::UnknownKey),
        forgery("kid of a key of another curve", kid(&P256, "p384"), Reason::UnknownKey),
        forgery("kid of a key for encryption", kid(&RSA, "for-encryption"), Reason::UnknownKey),
        forgery("kid a number", RSA.token(|header, _| header["kid"] = json!(1)), Reason::MalformedToken),
        forgery("kid null", RSA.token(|header, _| header["kid"] = json!(null)), Reason::MalformedToken),
        forgery(
            "no kid where two keys fit",
            RSA.token(|header, _| *header = json!({"alg": "RS256", "typ": "at+jwt"})),
            Reason::UnknownKey,
        ),
    ];
    for name in ["", "RSA", "rsa ", "unknown", "../../dev/null", "' OR 1=1 --", "rsa\u{0}", "http://attacker.example"] {
        forgeries.push(forgery(format!("kid {name:?}"), kid(&RSA, name), Reason::UnknownKey));
    }
    forgeries
}

/// The header names another algorithm than the one that was used.
fn relabelled() -> Vec<Forgery> {
    let relabel = |key: &Key, name: &str| key.token(|header, _| header["alg"] = json!(name));
    vec![
        forgery("RS256 called PS256", relabel(&RSA, "PS256"), Reason::BadSignature),
        forgery("RS256 called RS512", relabel(&RSA, "RS512"), Reason::BadSignature),
        forgery("RS256 called ES256", relabel(&RSA, "ES256"), Reason::UnknownKey),
        forgery("ES256 called ES384", relabel(&P256, "ES384"), Reason::UnknownKey),
        forgery("ES384 called ES256", relabel(&P384, "ES256"), Reason::UnknownKey),
        forgery("ES256 called ES512", relabel(&P256, "ES512"), Reason::AlgorithmRefused),
        forgery("ES256 called ES256K", relabel(&P256, "ES256K"), Reason::AlgorithmRefused),
        forgery("EdDSA called RS256", relabel(&ED25519, "RS256"), Reason::UnknownKey),
    ]
}

fn signatures() -> Vec<Forgery> {
    let with = |key: &Key, signature: &[u8]| {
        let message = format!("{}.{}", encode(key.header().to_string()), encode(claims().to_string()));
        format!("{message}.{}", encode(signature))
    };
    let of = |key: &Key| {
        let message = format!("{}.{}", encode(key.header().to_string()), encode(claims().to_string()));
        key.sign(key.algorithm(), message.as_bytes())
    };
    let ecdsa = of(&P256);
    let (r, s) = ecdsa.split_at(32);
    // The encoding of X.509 and TLS, which JWS does not use.
    let asn1 = [&[0x30, 70, 2, 33, 0], r, &[2, 33, 0], s].concat();
    let mut forgeries = vec![
        forgery("ECDSA signature in ASN.1", with(&P256, &asn1), Reason::BadSignature),
        forgery("ECDSA halves swapped", with(&P256, &[s, r].concat()), Reason::BadSignature),
        forgery("signature of the other RSA key", with(&RSA, &of(&OTHER_RSA)), Reason::BadSignature),
    ];
    for (key, len) in [(&*RSA, 256), (&*P256, 64), (&*P384, 96), (&*ED25519, 64)] {
        let good = of(key);
        for (what, signature) in [
            ("empty", Vec::new()),
            ("all zeros", vec![0; len]),
            ("all ones", vec![0xff; len]),
            ("with a byte more", [good.as_slice(), &[0]].concat()),
            ("with a zero before", [&[0], good.as_slice()].concat()),
            ("twice", [good.as_slice(), &good].concat()),
        ] {
            forgeries.push(forgery(
                format!("{} signature {what}", key.id),
                with(key, &signature),
                Reason::BadSignature,
            ));
        }
    }
    forgeries
}
