//! The keys of an identity provider, and how they sign.

use std::sync::{Mutex, OnceLock, PoisonError};

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    error::Unspecified,
    io::Positive,
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256},
};
use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};

/// The algorithm of a key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum KeyAlgorithm {
    /// `RS256`, with 2048 bits.
    Rs256,
    /// `ES256`.
    Es256,
    /// `EdDSA`, on Ed25519.
    EdDsa,
}

impl KeyAlgorithm {
    /// Returns the name in `alg`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

/// RSA keys of providers that have been dropped, for the next providers of this process: generating one takes a good part of a second
/// without optimization. Two providers that exist at the same time never share a key.
static SPARE_RSA_KEYS: Mutex<Vec<RsaKeyPair>> = Mutex::new(Vec::new());

/// A private key, generated at its first use: an RSA key is slow to generate, and many tests use none.
pub(super) struct SigningKey {
    pub(super) kid: String,
    pub(super) algorithm: KeyAlgorithm,
    pub(super) published: bool,
    pair: OnceLock<Pair>,
}

enum Pair {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl Pair {
    fn generate(algorithm: KeyAlgorithm) -> Result<Self, Unspecified> {
        Ok(match algorithm {
            KeyAlgorithm::Rs256 => {
                let spare = SPARE_RSA_KEYS.lock().unwrap_or_else(PoisonError::into_inner).pop();
                Self::Rsa(spare.map_or_else(|| RsaKeyPair::generate(KeySize::Rsa2048), Ok)?)
            }
            KeyAlgorithm::Es256 => Self::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?),
            KeyAlgorithm::EdDsa => Self::Ed(Ed25519KeyPair::generate()?),
        })
    }
}

impl Drop for SigningKey {
    fn drop(&mut self) {
        if let Some(Pair::Rsa(pair)) = self.pair.take() {
            SPARE_RSA_KEYS.lock().unwrap_or_else(PoisonError::into_inner).push(pair);
        }
    }
}

impl SigningKey {
    pub(super) const fn new(algorithm: KeyAlgorithm, kid: String) -> Self {
        Self { kid, algorithm, published: true, pair: OnceLock::new() }
    }

    fn pair(&self) -> &Pair {
        self.pair.get_or_init(|| Pair::generate(self.algorithm).expect("the random generator works"))
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        const HEALTHY: &str = "a generated key signs";
        let random = SystemRandom::new();
        match self.pair() {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).expect(HEALTHY);
                signature
            }
            Pair::Ec(pair) => pair.sign(&random, message).expect(HEALTHY).as_ref().to_vec(),
            Pair::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// Returns the public key as a JWK, [RFC 7517](https://www.rfc-editor.org/rfc/rfc7517).
    pub(super) fn jwk(&self) -> Value {
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let mut jwk = match self.pair() {
            Pair::Rsa(pair) => {
                let public = pair.public_key();
                let (n, e) = (public.modulus(), public.exponent());
                let encode = |number: Positive<'_>| encode(number.big_endian_without_leading_zero());
                json!({"kty": "RSA", "n": encode(n), "e": encode(e)})
            }
            Pair::Ec(pair) => {
                // 0x04, then x and y of 32 bytes each.
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({"kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y)})
            }
            Pair::Ed(pair) => json!({"kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key().as_ref())}),
        };
        jwk["kid"] = self.kid.as_str().into();
        jwk["alg"] = self.algorithm.as_str().into();
        jwk["use"] = "sig".into();
        jwk
    }

    /// Returns the public key as PEM.
    pub(super) fn public_pem(&self) -> String {
        let der: Result<PublicKeyX509Der<'_>, _> = match self.pair() {
            Pair::Rsa(pair) => pair.public_key().as_der(),
            Pair::Ec(pair) => pair.public_key().as_der(),
            Pair::Ed(pair) => pair.public_key().as_der(),
        };
        let text = BASE64_STANDARD.encode(der.expect("a generated key has an encoding").as_ref());
        let lines: Vec<_> = (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
    }
}

/// Returns the compact serialization, [RFC 7515 section 7.1](https://www.rfc-editor.org/rfc/rfc7515#section-7.1).
pub(super) fn compact(header: &[u8], payload: &[u8], sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let message = format!("{}.{}", encode(header), encode(payload));
    let signature = encode(&sign(message.as_bytes()));
    format!("{message}.{signature}")
}
