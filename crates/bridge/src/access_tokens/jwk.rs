//! [`Jwk`]: the published form of a signing key.

use aws_lc_rs::{
    digest,
    signature::{EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_oauth::jwt::Algorithm;
use serde::Serialize;
use serde_json::{Map, Value};

/// The published form of a signing key. [RFC 7517 section 4](https://www.rfc-editor.org/rfc/rfc7517#section-4)
#[derive(Clone, Debug, Serialize)]
pub(super) struct Jwk {
    kid: String,
    alg: &'static str,
    #[serde(rename = "use")]
    usage: &'static str,
    #[serde(flatten)]
    members: Map<String, Value>,
}

impl Jwk {
    pub(super) fn p256(pair: &EcdsaKeyPair) -> Self {
        // An uncompressed point: 4, x, y. SEC 1 section 2.3.3.
        let point = &pair.public_key().as_ref()[1..];
        let (x, y) = point.split_at(point.len() / 2);
        Self::new(
            Algorithm::Es256,
            [("crv", "P-256".to_owned()), ("kty", "EC".to_owned()), ("x", text(x)), ("y", text(y))],
        )
    }

    pub(super) fn ed25519(pair: &Ed25519KeyPair) -> Self {
        let x = text(pair.public_key().as_ref());
        Self::new(Algorithm::EdDsa, [("crv", "Ed25519".to_owned()), ("kty", "OKP".to_owned()), ("x", x)])
    }

    pub(super) fn rsa(pair: &RsaKeyPair) -> Self {
        let key = pair.public_key();
        let (n, e) = (key.modulus(), key.exponent());
        let (n, e) = (text(n.big_endian_without_leading_zero()), text(e.big_endian_without_leading_zero()));
        Self::new(Algorithm::Rs256, [("e", e), ("kty", "RSA".to_owned()), ("n", n)])
    }

    /// Computes the `kid`, which is the thumbprint of the required members in order. RFC 7638 section 3.
    fn new<const N: usize>(algorithm: Algorithm, required: [(&str, String); N]) -> Self {
        let members: Map<_, _> = required.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        let canonical = serde_json::to_string(&members).expect("strings are JSON");
        let kid = text(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
        Self { kid, alg: algorithm.as_str(), usage: "sig", members }
    }

    pub(super) fn id(&self) -> &str {
        &self.kid
    }
}

fn text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
