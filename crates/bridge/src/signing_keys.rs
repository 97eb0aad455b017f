//! [`SigningKeys`] of JWT access tokens, and [`AccessTokenKind`].

use std::{fmt, sync::Arc};

use portcullis_oauth::jwt::{InvalidSigningKey, KeySet, SigningKey};
use secrecy::SecretString;
use serde::Serialize;
use serde_json::{Value, json};

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
