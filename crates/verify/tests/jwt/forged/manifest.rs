//! The manifest: names, tokens and the reason for which each is refused.
//!
//! Every forgery starts from a token that is accepted ([`the_original_is_accepted`]) and changes one thing. Each is made
//! with keys of this run, so that the signature of a forged token is valid unless the signature is what is forged.

use std::sync::LazyLock;

use portcullis_core::{AuthErrorKind, BearerToken, Reason};
use portcullis_verify::JwtVerifier;
use serde_json::{Value, json};

use super::{claims, encoding, header, keys};
use crate::{
    accepted::{ask, policy, verifier},
    signing::{ED25519, Key, OTHER_RSA, P256, P384, RSA, jwks},
};

/// A token that must be refused for `reason`.
#[derive(Clone)]
pub(super) struct Forgery {
    name: String,
    token: String,
    reason: Reason,
}

pub(super) fn forgery(name: impl Into<String>, token: String, reason: Reason) -> Forgery {
    Forgery { name: name.into(), token, reason }
}

/// The verifier of all forgeries.
static VERIFIER: LazyLock<JwtVerifier> = LazyLock::new(|| verifier(policy(), &published()));

/// Returns the published key set.
fn published() -> Value {
    let mut keys = jwks(&[&RSA, &OTHER_RSA, &P256, &P384, &ED25519]);
    let mut for_encryption = RSA.jwk();
    for_encryption["kid"] = json!("for-encryption");
    for_encryption["use"] = json!("enc");
    keys["keys"].as_array_mut().expect("array").push(for_encryption);
    keys
}

fn signers() -> [&'static Key; 4] {
    [&RSA, &P256, &P384, &ED25519]
}

#[test]
fn the_original_is_accepted() {
    for key in signers() {
        assert!(ask(&VERIFIER, &key.token(|_, _| {})).is_ok(), "{}", key.id);
    }
}

#[test]
fn rs_12_every_forgery_is_an_invalid_token_for_its_own_reason() {
    let manifest = [header::forgeries(), keys::forgeries(), claims::forgeries(), encoding::forgeries()].concat();
    let mut wrong = Vec::new();
    for Forgery { name, token, reason } in &manifest {
        match ask(&VERIFIER, token) {
            Err(error) if error.reason() == *reason && error.kind() == AuthErrorKind::InvalidToken => {}
            outcome => wrong.push(format!("{name}: {reason} expected, {outcome:?}")),
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), manifest.len(), wrong.join("\n"));
    assert!(manifest.len() > 120, "{}", manifest.len());
}

#[test]
fn truncated_at_every_byte() {
    for key in signers() {
        let token = key.token(|_, _| {});
        for len in 1..token.len() {
            refuse(&token[..len], || format!("{} cut to {len}", key.id));
        }
    }
}

#[test]
fn every_single_byte_changed() {
    for key in signers() {
        let token = key.token(|_, _| {});
        for at in 0..token.len() {
            for byte in [b'A', b'B', b'_', b'.', b'0'] {
                let mut bytes = token.clone().into_bytes();
                if std::mem::replace(&mut bytes[at], byte) != byte {
                    let changed = String::from_utf8(bytes).expect("ASCII");
                    refuse(&changed, || format!("{} with {:?} at {at}", key.id, char::from(byte)));
                }
            }
        }
    }
}

/// Checks that the token is refused as invalid.
fn refuse(token: &str, name: impl Fn() -> String) {
    if BearerToken::new(token).is_ok() {
        let kind = ask(&VERIFIER, token).err().map(|error| error.kind());
        assert_eq!(kind, Some(AuthErrorKind::InvalidToken), "{}", name());
    }
}
