//! [`SigningKeys`] of JWT access tokens, and [`AccessTokenKind`].

use std::{fmt, sync::Arc};

use aws_lc_rs::{
    digest,
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_oauth::jwt::{Algorithm, KeySet};
use rustls_pki_types::{PrivatePkcs8KeyDer, pem::PemObject as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

/// The signing keys of access tokens. The first one signs; all are published and verify. Clones share them.
///
/// A key is PKCS#8 in PEM, on P-256 (`ES256`), of Ed25519 (`EdDSA`) or of RSA (`RS256`), as `openssl genpkey` writes it. Its `kid`
/// is its thumbprint ([RFC 7638](https://www.rfc-editor.org/rfc/rfc7638)).
///
/// For a rotation, every resource server must see the new key before it signs, and the old one until its last token has expired:
/// 1. put the new key behind the old one ([`with_key`](Self::with_key)), and restart;
/// 2. ten minutes later, when caches of the key set have expired, put it first;
/// 3. when the last token of the old key has expired, remove that key.
///
/// ```
/// use portcullis_bridge::{AccessTokenKind, SigningKeys};
///
/// let keys = SigningKeys::generate();
/// assert_eq!(keys.ids().count(), 1);
/// let kind = AccessTokenKind::Jwt(keys);
/// # drop(kind);
/// ```
#[derive(Clone)]
pub struct SigningKeys(Vec<Arc<SigningKey>>);

/// The form of access tokens. In either form, the bridge checks the session of a token.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum AccessTokenKind {
    /// Reference tokens: 256 random bits. Other resource servers [introspect](crate::IntrospectionClient) them.
    #[default]
    Reference,
    /// JWTs ([RFC 9068](https://www.rfc-editor.org/rfc/rfc9068)), which other resource servers verify with the keys at the
    /// bridge's `jwks_uri`. They do not learn that a session has ended before its token expires, and the token identifies the user.
    ///
    /// After a change from reference tokens, those remain valid until they expire. After a change back, JWTs are invalid, and clients
    /// refresh them.
    Jwt(SigningKeys),
    /// JWTs as well. The bridge generates their keys, stores them sealed, and replaces them every 30 days: a new key is published an hour
    /// before it signs, and an old one until a day after its last token has expired.
    JwtWithStoredKeys,
}

impl SigningKeys {
    /// Creates signing keys with the key in `pem`.
    ///
    /// # Errors
    /// [`InvalidSigningKey`].
    pub fn new(pem: &SecretString) -> Result<Self, InvalidSigningKey> {
        Ok(Self(vec![Arc::new(SigningKey::from_pem(pem)?)]))
    }

    /// Generates a key for this process. Its tokens become invalid with the process, and clients refresh them. Several processes would
    /// reject each other's tokens. [`AccessTokenKind::JwtWithStoredKeys`] has neither disadvantage.
    ///
    /// # Panics
    /// If the system has no randomness.
    #[must_use]
    pub fn generate() -> Self {
        Self(vec![Arc::new(SigningKey::generate())])
    }

    /// Adds the key in `pem`, which verifies tokens and does not sign.
    ///
    /// # Errors
    /// [`InvalidSigningKey`].
    pub fn with_key(mut self, pem: &SecretString) -> Result<Self, InvalidSigningKey> {
        self.0.push(Arc::new(SigningKey::from_pem(pem)?));
        Ok(self)
    }

    /// Returns the `kid` of each key, that of the signing key first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|key| key.jwk().id())
    }

    /// Creates signing keys from `keys`, of which the first one signs.
    pub(crate) const fn from_keys(keys: Vec<Arc<SigningKey>>) -> Self {
        Self(keys)
    }

    /// Returns the published key set. [RFC 7517 section 5](https://www.rfc-editor.org/rfc/rfc7517#section-5)
    pub(crate) fn published(&self) -> Value {
        json!({"keys": self.0.iter().map(|key| key.jwk()).collect::<Vec<_>>()})
    }

    /// Returns the key set for verification.
    pub(super) fn key_set(&self) -> KeySet {
        KeySet::parse(self.published().to_string().as_bytes()).expect("own keys are valid")
    }

    /// Signs a JWT of the type `typ`.
    pub(super) fn sign(&self, typ: &str, claims: &impl Serialize) -> SecretString {
        self.0[0].sign(typ, claims)
    }
}

/// Prints the key ids.
impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningKeys").field(&self.0).finish()
    }
}

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
        Self::from_pkcs8(&der)
    }

    /// Parses a key in PKCS#8.
    pub(super) fn from_pkcs8(der: &[u8]) -> Result<Self, InvalidSigningKey> {
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
    pub(super) fn generate() -> Self {
        Self::from_pkcs8(&Self::generate_pkcs8()).expect("a generated key is valid")
    }

    /// Generates a key on P-256, as PKCS#8.
    pub(super) fn generate_pkcs8() -> Zeroizing<Vec<u8>> {
        let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        Zeroizing::new(der.expect("the system has randomness").as_ref().to_vec())
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
