//! [`SigningKeys`]: by which access tokens are signed.

use std::{fmt, sync::Arc};

use portcullis_oauth::jwt::KeySet;
use secrecy::SecretString;
use serde::Serialize;
use serde_json::{Value, json};

use super::signing_key::{InvalidSigningKey, SigningKey};

/// The keys by which access tokens are signed: the first one signs, all are published and verified by. Clones share them.
///
/// A key is PKCS#8 in PEM, on P-256 (`ES256`), of Ed25519 (`EdDSA`) or of RSA (`RS256`), as `openssl genpkey` writes it. It is called
/// (`kid`) by its thumbprint ([RFC 7638](https://www.rfc-editor.org/rfc/rfc7638)).
///
/// To rotate, let every resource server see the new key before it signs, and the old one until its last token has expired:
/// 1. put the new key behind the old one ([`with_key`](Self::with_key)), and restart;
/// 2. ten minutes later, which is how long the key set may be kept, put it first;
/// 3. when the old one's last token has expired, leave that out.
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

impl SigningKeys {
    /// Tokens are signed by the key in `pem`.
    ///
    /// # Errors
    /// [`InvalidSigningKey`].
    pub fn new(pem: &SecretString) -> Result<Self, InvalidSigningKey> {
        Ok(Self(vec![Arc::new(SigningKey::from_pem(pem)?)]))
    }

    /// A key of this process: its tokens end with it, and clients refresh them. Not for several processes, which would not take each
    /// other's tokens.
    ///
    /// # Panics
    /// Without randomness.
    #[must_use]
    pub fn generate() -> Self {
        Self(vec![Arc::new(SigningKey::generate())])
    }

    /// Tokens that were, or will be, signed by the key in `pem` are good too.
    ///
    /// # Errors
    /// [`InvalidSigningKey`].
    pub fn with_key(mut self, pem: &SecretString) -> Result<Self, InvalidSigningKey> {
        self.0.push(Arc::new(SigningKey::from_pem(pem)?));
        Ok(self)
    }

    /// What the keys are called (`kid`), the one that signs first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|key| key.jwk().id())
    }

    /// The key set as it is published. [RFC 7517 section 5](https://www.rfc-editor.org/rfc/rfc7517#section-5)
    pub(crate) fn published(&self) -> Value {
        json!({"keys": self.0.iter().map(|key| key.jwk()).collect::<Vec<_>>()})
    }

    /// The key set as it is verified by.
    pub(super) fn key_set(&self) -> KeySet {
        KeySet::parse(self.published().to_string().as_bytes()).expect("a key of ours is a key")
    }

    /// A JWT of the type `typ` that says `claims`.
    pub(super) fn sign(&self, typ: &str, claims: &impl Serialize) -> SecretString {
        self.0[0].sign(typ, claims)
    }
}

/// By their names.
impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningKeys").field(&self.0).finish()
    }
}
