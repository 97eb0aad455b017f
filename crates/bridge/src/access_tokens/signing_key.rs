//! [`SigningKey`]: a private key that signs JWTs.

use std::fmt;

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_oauth::jwt::Algorithm;
use rustls_pki_types::{PrivatePkcs8KeyDer, pem::PemObject as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use zeroize::Zeroizing;

use super::jwk::Jwk;

/// A private key that signs JWTs.
pub(super) struct SigningKey {
    pair: KeyPair,
    jwk: Jwk,
}

enum KeyPair {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

/// An error that reports an invalid signing key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSigningKey {
    /// It is not one `PRIVATE KEY` block.
    #[error("not a PEM block `PRIVATE KEY` (PKCS#8, not encrypted)")]
    NotPem,
    /// It is of an unsupported kind, or damaged.
    #[error("not a key on P-256, of Ed25519, or of RSA with 2048 to 8192 bits")]
    NotSupported,
}

/// The supported sizes of RSA keys, in bytes. RFC 8725 section 3.5.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

impl SigningKey {
    /// Parses the key in `pem`.
    pub(super) fn from_pem(pem: &SecretString) -> Result<Self, InvalidSigningKey> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.expose_secret().as_bytes());
        let der = Zeroizing::new(der.map_err(|_| InvalidSigningKey::NotPem)?.secret_pkcs8_der().to_vec());
        let p256 = || EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der).map(KeyPair::P256);
        let ed25519 = |_| Ed25519KeyPair::from_pkcs8(&der).map(KeyPair::Ed25519);
        let rsa = |_| RsaKeyPair::from_pkcs8(&der).map(KeyPair::Rsa);
        let pair = p256().or_else(ed25519).or_else(rsa).map_err(|_| InvalidSigningKey::NotSupported)?;
        match &pair {
            KeyPair::Rsa(rsa) if !RSA_BYTES.contains(&rsa.public_modulus_len()) => Err(InvalidSigningKey::NotSupported),
            _ => Ok(Self::new(pair)),
        }
    }

    /// Generates a key on P-256.
    pub(super) fn generate() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("the system has randomness");
        Self::new(KeyPair::P256(pair))
    }

    fn new(pair: KeyPair) -> Self {
        let jwk = match &pair {
            KeyPair::P256(pair) => Jwk::p256(pair),
            KeyPair::Ed25519(pair) => Jwk::ed25519(pair),
            KeyPair::Rsa(pair) => Jwk::rsa(pair),
        };
        Self { pair, jwk }
    }

    /// Returns the public key.
    pub(super) const fn jwk(&self) -> &Jwk {
        &self.jwk
    }

    /// Signs a JWT of the type `typ`. [RFC 7515 section 3.1](https://www.rfc-editor.org/rfc/rfc7515#section-3.1)
    pub(super) fn sign(&self, typ: &str, claims: &impl Serialize) -> SecretString {
        let header = serde_json::json!({"alg": self.algorithm().as_str(), "typ": typ, "kid": self.jwk.id()});
        let mut jwt = URL_SAFE_NO_PAD.encode(header.to_string());
        jwt.push('.');
        URL_SAFE_NO_PAD.encode_string(serde_json::to_vec(claims).expect("claims are plain data"), &mut jwt);
        let signature = self.signature(jwt.as_bytes());
        jwt.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut jwt);
        SecretString::from(jwt)
    }

    const fn algorithm(&self) -> Algorithm {
        match self.pair {
            KeyPair::P256(_) => Algorithm::Es256,
            KeyPair::Ed25519(_) => Algorithm::EdDsa,
            KeyPair::Rsa(_) => Algorithm::Rs256,
        }
    }

    fn signature(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            KeyPair::P256(pair) => pair.sign(&random, message).expect("a key signs").as_ref().to_vec(),
            KeyPair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            KeyPair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).expect("a key signs");
                signature
            }
        }
    }
}

/// Prints the key id.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.jwk.id()).finish_non_exhaustive()
    }
}
