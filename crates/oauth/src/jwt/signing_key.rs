//! [`SigningKey`]: a private key of this server or client, and its published form.

use std::fmt;

use aws_lc_rs::{
    digest,
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rustls_pki_types::{PrivatePkcs8KeyDer, pem::PemObject as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::Algorithm;

/// A private key that signs JWTs: on P-256 (`ES256`), of Ed25519 (`EdDSA`) or of RSA (`RS256`). Its `kid` is its thumbprint
/// ([RFC 7638](https://www.rfc-editor.org/rfc/rfc7638)).
///
/// ```
/// use portcullis_oauth::jwt::SigningKey;
///
/// let key = SigningKey::generate();
/// let jwt = key.sign("JWT", &serde_json::json!({"sub": "alice"}));
/// assert!(!format!("{key:?} {jwt:?}").contains("alice"));
/// assert_eq!(key.jwk().id().len(), 43);
/// ```
pub struct SigningKey {
    pair: KeyPair,
    jwk: PublicJwk,
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
    /// Parses the key in `pem`: PKCS#8, as `openssl genpkey` writes it.
    ///
    /// # Errors
    /// [`InvalidSigningKey`].
    pub fn from_pem(pem: &SecretString) -> Result<Self, InvalidSigningKey> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.expose_secret().as_bytes());
        let der = Zeroizing::new(der.map_err(|_| InvalidSigningKey::NotPem)?.secret_pkcs8_der().to_vec());
        Self::from_pkcs8(&der)
    }

    /// Parses a key in PKCS#8.
    ///
    /// # Errors
    /// [`InvalidSigningKey::NotSupported`].
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, InvalidSigningKey> {
        let p256 = || EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der).map(KeyPair::P256);
        let ed25519 = |_| Ed25519KeyPair::from_pkcs8(der).map(KeyPair::Ed25519);
        let rsa = |_| RsaKeyPair::from_pkcs8(der).map(KeyPair::Rsa);
        let pair = p256().or_else(ed25519).or_else(rsa).map_err(|_| InvalidSigningKey::NotSupported)?;
        match &pair {
            KeyPair::Rsa(rsa) if !RSA_BYTES.contains(&rsa.public_modulus_len()) => Err(InvalidSigningKey::NotSupported),
            _ => Ok(Self::new(pair)),
        }
    }

    /// Generates a key on P-256.
    ///
    /// # Panics
    /// If the system has no randomness.
    #[must_use]
    pub fn generate() -> Self {
        Self::from_pkcs8(&Self::generate_pkcs8()).expect("a generated key is valid")
    }

    /// Generates a key on P-256, as PKCS#8.
    ///
    /// # Panics
    /// If the system has no randomness.
    #[must_use]
    pub fn generate_pkcs8() -> Zeroizing<Vec<u8>> {
        let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        Zeroizing::new(der.expect("the system has randomness").as_ref().to_vec())
    }

    fn new(pair: KeyPair) -> Self {
        let jwk = match &pair {
            KeyPair::P256(pair) => PublicJwk::p256(pair),
            KeyPair::Ed25519(pair) => PublicJwk::ed25519(pair),
            KeyPair::Rsa(pair) => PublicJwk::rsa(pair),
        };
        Self { pair, jwk }
    }

    /// Returns the public key.
    #[must_use]
    pub const fn jwk(&self) -> &PublicJwk {
        &self.jwk
    }

    /// Signs a JWT of the type `typ`. [RFC 7515 section 3.1](https://www.rfc-editor.org/rfc/rfc7515#section-3.1)
    ///
    /// # Panics
    /// If `claims` cannot be written as JSON.
    #[must_use]
    pub fn sign(&self, typ: &str, claims: &impl Serialize) -> SecretString {
        self.sign_headed(&json!({"alg": self.algorithm().as_str(), "typ": typ, "kid": self.jwk.id()}), claims).into()
    }

    /// Signs a JWT of the type `typ` whose header contains the public key, for a proof that the sender has the private key.
    pub(crate) fn sign_with_jwk(&self, typ: &str, claims: &impl Serialize) -> String {
        self.sign_headed(&json!({"alg": self.algorithm().as_str(), "typ": typ, "jwk": self.jwk.members}), claims)
    }

    fn sign_headed(&self, header: &Value, claims: &impl Serialize) -> String {
        let mut jwt = URL_SAFE_NO_PAD.encode(header.to_string());
        jwt.push('.');
        URL_SAFE_NO_PAD.encode_string(serde_json::to_vec(claims).expect("claims are plain data"), &mut jwt);
        let signature = self.signature(jwt.as_bytes());
        jwt.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut jwt);
        jwt
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

/// The published form of a [`SigningKey`]. [RFC 7517 section 4](https://www.rfc-editor.org/rfc/rfc7517#section-4)
#[derive(Clone, Debug, Serialize)]
pub struct PublicJwk {
    kid: String,
    alg: &'static str,
    #[serde(rename = "use")]
    usage: &'static str,
    #[serde(flatten)]
    members: Map<String, Value>,
}

impl PublicJwk {
    fn p256(pair: &EcdsaKeyPair) -> Self {
        // An uncompressed point: 4, x, y. SEC 1 section 2.3.3.
        let point = &pair.public_key().as_ref()[1..];
        let (x, y) = point.split_at(point.len() / 2);
        Self::new(
            Algorithm::Es256,
            [("crv", "P-256".to_owned()), ("kty", "EC".to_owned()), ("x", text(x)), ("y", text(y))],
        )
    }

    fn ed25519(pair: &Ed25519KeyPair) -> Self {
        let x = text(pair.public_key().as_ref());
        Self::new(Algorithm::EdDsa, [("crv", "Ed25519".to_owned()), ("kty", "OKP".to_owned()), ("x", x)])
    }

    fn rsa(pair: &RsaKeyPair) -> Self {
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

    /// Returns the key id, which is the thumbprint.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.kid
    }
}

fn text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
