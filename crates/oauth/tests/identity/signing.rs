//! A signing key for tests, and manually built tokens.

use std::sync::LazyLock;

use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_core::{AuthError, Reason, UnixTime};
use portcullis_oauth::jwt::{HeaderCheckedJwt, KeySet, SignedJwt};
use serde_json::{Value, json};

/// The time of the clock in these tests.
pub(crate) const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

static KEY: LazyLock<EcdsaKeyPair> = LazyLock::new(generate);
/// A key that is not published.
static ATTACKER: LazyLock<EcdsaKeyPair> = LazyLock::new(generate);
static KEYS: LazyLock<KeySet> = LazyLock::new(|| KeySet::parse(jwks().to_string().as_bytes()).expect("keys"));

fn generate() -> EcdsaKeyPair {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("key")
}

fn jwk(key: &EcdsaKeyPair) -> Value {
    let (x, y) = key.public_key().as_ref()[1..].split_at(32);
    json!({"kty": "EC", "crv": "P-256", "kid": "k", "x": encode(x), "y": encode(y)})
}

pub(crate) fn jwks() -> Value {
    json!({"keys": [jwk(&KEY)]})
}

pub(crate) fn attackers_jwk() -> Value {
    jwk(&ATTACKER)
}

/// Creates a token with a valid signature.
pub(crate) fn signed(header: &Value, claims: &Value) -> String {
    signed_by(&KEY, header, claims)
}

pub(crate) fn signed_by_attacker(header: &Value, claims: &Value) -> String {
    signed_by(&ATTACKER, header, claims)
}

fn signed_by(key: &EcdsaKeyPair, header: &Value, claims: &Value) -> String {
    let message = message(header, claims);
    let signature = key.sign(&SystemRandom::new(), message.as_bytes()).expect("signature");
    format!("{message}.{}", encode(signature))
}

/// Creates a token "signed" with the published key as a shared secret.
pub(crate) fn signed_by_hmac(header: &Value, claims: &Value) -> String {
    let message = message(header, claims);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, jwk(&KEY).to_string().as_bytes()), message.as_bytes());
    format!("{message}.{}", encode(tag))
}

pub(crate) fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.", message(header, claims))
}

fn message(header: &Value, claims: &Value) -> String {
    format!("{}.{}", encode(header.to_string()), encode(claims.to_string()))
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Verifies a token with the key set of these tests.
pub(crate) fn verify(jwt: HeaderCheckedJwt) -> Result<SignedJwt, AuthError> {
    match KEYS.select(&jwt) {
        Some(key) => jwt.verify(key),
        None => Err(AuthError::new(Reason::UnknownKey)),
    }
}

/// Returns `claims` with `value` for `claim`, or without it if there is no value.
pub(crate) fn with(mut claims: Value, claim: &str, value: Option<Value>) -> Value {
    let members = claims.as_object_mut().expect("an object");
    match value {
        Some(value) => members.insert(claim.to_owned(), value),
        None => members.remove(claim),
    };
    claims
}

/// Asserts that every case is rejected with its reason: a claim, its values, and the reason.
#[track_caller]
pub(crate) fn each_is_refused(
    good: &Value,
    ask: impl Fn(&Value) -> Option<Reason>,
    cases: &[(&str, Vec<Option<Value>>, Reason)],
) {
    assert_eq!(ask(good), None, "the original is accepted");
    let mut wrong = Vec::new();
    for (claim, values, reason) in cases {
        for value in values {
            let outcome = ask(&with(good.clone(), claim, value.clone()));
            if outcome != Some(*reason) {
                wrong.push(format!("{claim} {value:?}: {reason} expected, {outcome:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
