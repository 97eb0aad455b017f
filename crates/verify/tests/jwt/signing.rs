//! Keys and tokens of the tests. No code is shared with the verifier.

use std::sync::LazyLock;

use aws_lc_rs::{
    encoding::AsDer,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_core::{BearerToken, UnixTime};
use serde_json::{Value, json};

pub(crate) const ISSUER: &str = "https://idp.example.com/realms/x";
pub(crate) const RESOURCE: &str = "https://mcp.example.com/mcp";
/// The time of the clock of these tests, which does not advance.
pub(crate) const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

pub(crate) static RSA: LazyLock<Key> = LazyLock::new(|| Key::rsa("rsa", KeySize::Rsa2048));
pub(crate) static OTHER_RSA: LazyLock<Key> = LazyLock::new(|| Key::rsa("other-rsa", KeySize::Rsa3072));
pub(crate) static P256: LazyLock<Key> = LazyLock::new(|| Key::ec("p256", "P-256"));
pub(crate) static P384: LazyLock<Key> = LazyLock::new(|| Key::ec("p384", "P-384"));
pub(crate) static ED25519: LazyLock<Key> =
    LazyLock::new(|| Key { id: "ed25519", pair: Pair::Ed25519(Ed25519KeyPair::generate().expect("key")) });
/// A key that no issuer publishes.
pub(crate) static ATTACKER: LazyLock<Key> = LazyLock::new(|| Key::rsa("rsa", KeySize::Rsa2048));

pub(crate) struct Key {
    pub(crate) id: &'static str,
    pair: Pair,
}

enum Pair {
    Rsa(RsaKeyPair),
    Ec(&'static str, EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Key {
    fn rsa(id: &'static str, size: KeySize) -> Self {
        Self { id, pair: Pair::Rsa(RsaKeyPair::generate(size).expect("key")) }
    }

    fn ec(id: &'static str, curve: &'static str) -> Self {
        let algorithm = match curve {
            "P-256" => &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
            _ => &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
        };
        Self { id, pair: Pair::Ec(curve, EcdsaKeyPair::generate(algorithm).expect("key")) }
    }

    /// Returns the default algorithm of the key.
    pub(crate) fn algorithm(&self) -> &'static str {
        match &self.pair {
            Pair::Rsa(_) => "RS256",
            Pair::Ec("P-256", _) => "ES256",
            Pair::Ec(..) => "ES384",
            Pair::Ed25519(_) => "EdDSA",
        }
    }

    pub(crate) fn jwk(&self) -> Value {
        match &self.pair {
            Pair::Rsa(pair) => {
                let key = pair.public_key();
                let n = encode(key.modulus().big_endian_without_leading_zero());
                let e = encode(key.exponent().big_endian_without_leading_zero());
                json!({"kty": "RSA", "kid": self.id, "n": n, "e": e})
            }
            Pair::Ec(curve, pair) => {
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                json!({"kty": "EC", "kid": self.id, "crv": curve, "x": encode(x), "y": encode(y)})
            }
            Pair::Ed25519(pair) => {
                json!({"kty": "OKP", "kid": self.id, "crv": "Ed25519", "x": encode(pair.public_key())})
            }
        }
    }

    /// Returns the public key in the two encodings that a server might use as a secret by mistake.
    pub(crate) fn public_der(&self) -> [Vec<u8>; 2] {
        let Pair::Rsa(pair) = &self.pair else { unreachable!("RSA only") };
        let spki = AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(pair.public_key()).expect("DER");
        [spki.as_ref().to_vec(), pair.public_key().as_ref().to_vec()]
    }

    pub(crate) fn sign(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let padding: &dyn signature::RsaEncoding = match algorithm {
                    "RS384" => &signature::RSA_PKCS1_SHA384,
                    "RS512" => &signature::RSA_PKCS1_SHA512,
                    "PS256" => &signature::RSA_PSS_SHA256,
                    "PS384" => &signature::RSA_PSS_SHA384,
                    "PS512" => &signature::RSA_PSS_SHA512,
                    _ => &signature::RSA_PKCS1_SHA256,
                };
                let mut signed = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, message, &mut signed).expect("signature");
                signed
            }
            Pair::Ec(_, pair) => pair.sign(&random, message).expect("signature").as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// Creates a valid token after `change` has modified its header and claims.
    pub(crate) fn token(&self, change: impl FnOnce(&mut Value, &mut Value)) -> String {
        let (mut header, mut claims) = (self.header(), claims());
        change(&mut header, &mut claims);
        self.raw_token(header.to_string().as_bytes(), claims.to_string().as_bytes())
    }

    /// Creates a token with this header and payload, signed by the default algorithm.
    pub(crate) fn raw_token(&self, header: &[u8], payload: &[u8]) -> String {
        self.signed_token(self.algorithm(), header, payload)
    }

    pub(crate) fn signed_token(&self, algorithm: &str, header: &[u8], payload: &[u8]) -> String {
        let message = format!("{}.{}", encode(header), encode(payload));
        let signed = self.sign(algorithm, message.as_bytes());
        format!("{message}.{}", encode(signed))
    }

    pub(crate) fn header(&self) -> Value {
        json!({"alg": self.algorithm(), "typ": "at+jwt", "kid": self.id})
    }
}

/// Returns the claims of a valid token.
pub(crate) fn claims() -> Value {
    let now = NOW.as_secs();
    json!({
        "iss": ISSUER, "sub": "alice", "aud": RESOURCE, "exp": now + 600, "iat": now, "jti": "1",
        "client_id": "client", "scope": "mcp:read mcp:write",
    })
}

pub(crate) fn jwks(keys: &[&Key]) -> Value {
    json!({"keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>()})
}

pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn bearer(text: &str) -> BearerToken {
    BearerToken::new(text).expect("token68")
}
