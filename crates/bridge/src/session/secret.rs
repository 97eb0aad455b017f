//! [`Secret`] and [`ParsedToken`]: codes and tokens of our own, as they are made and as they come back.

use std::fmt;

use aws_lc_rs::{digest, hmac};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_core::GrantId;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, ZeroizeOnDrop, Zeroizing};

use super::{TokenFamily, base64_bytes};

/// What a secret is good for. It shows in the first letters, so that scanners find one that was published.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// An authorization code.
    Code,
    /// A reference token.
    AccessToken,
    /// A refresh token.
    RefreshToken,
}

impl Kind {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Code => "pcac_",
            Self::AccessToken => "pcat_",
            Self::RefreshToken => "pcrt_",
        }
    }
}

/// 256 random bits. It does not print, and is wiped.
#[derive(ZeroizeOnDrop)]
pub(crate) struct Secret([u8; Self::LEN]);

/// By which a secret is known again: its SHA-256.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct SecretHash(#[serde(with = "base64_bytes")] [u8; 32]);

/// A refresh token (with a handle), or a code or reference token (with the session's id), of the right form and of nothing else.
pub(crate) struct ParsedToken<S> {
    /// Of which session it says it is.
    pub(crate) of: S,
    /// The secret.
    pub(crate) secret: Secret,
}

impl Secret {
    pub(crate) const LEN: usize = 32;

    /// A new one.
    pub(crate) fn random() -> Self {
        let mut bytes = [0; Self::LEN];
        rand::fill(&mut bytes);
        Self(bytes)
    }

    /// The secret that follows this one by `salt`, for the use of `label`: nobody can tell it without this one.
    pub(crate) fn derive(&self, label: &str, salt: &[u8; 32]) -> Self {
        let mut message = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &self.0));
        message.update(label.as_bytes());
        message.update(&[0]);
        message.update(salt);
        let mut bytes = [0; Self::LEN];
        bytes.copy_from_slice(message.sign().as_ref());
        Self(bytes)
    }

    pub(crate) fn hash(&self) -> SecretHash {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, &self.0).as_ref());
        SecretHash(bytes)
    }

    /// As the code of a session.
    pub(crate) fn code(&self, session: GrantId) -> SecretString {
        self.text(Kind::Code, session.as_bytes())
    }

    /// As a reference token of a session.
    pub(crate) fn access_token(&self, session: GrantId) -> SecretString {
        self.text(Kind::AccessToken, session.as_bytes())
    }

    /// As a refresh token of the session with this handle.
    pub(crate) fn refresh_token(&self, handle: TokenFamily) -> SecretString {
        self.text(Kind::RefreshToken, handle.as_bytes())
    }

    fn text(&self, kind: Kind, of: &[u8; 16]) -> SecretString {
        let mut bytes = Zeroizing::new([0; 16 + Self::LEN]);
        bytes[..16].copy_from_slice(of);
        bytes[16..].copy_from_slice(&self.0);
        // The length is known: nothing is left behind by a string that grows.
        let mut text = String::with_capacity(kind.prefix().len() + 64);
        text.push_str(kind.prefix());
        URL_SAFE_NO_PAD.encode_string(*bytes, &mut text);
        SecretString::from(text)
    }
}

impl ParsedToken<TokenFamily> {
    /// A refresh token.
    pub(crate) fn refresh_token(text: &str) -> Option<Self> {
        parts(Kind::RefreshToken, text).map(|(of, secret)| Self { of: TokenFamily::from_bytes(of), secret })
    }
}

impl ParsedToken<GrantId> {
    /// A code.
    pub(crate) fn code(text: &str) -> Option<Self> {
        parts(Kind::Code, text).map(|(of, secret)| Self { of: GrantId::from_bytes(of), secret })
    }

    /// A reference token.
    pub(crate) fn access_token(text: &str) -> Option<Self> {
        parts(Kind::AccessToken, text).map(|(of, secret)| Self { of: GrantId::from_bytes(of), secret })
    }
}

fn parts(kind: Kind, text: &str) -> Option<([u8; 16], Secret)> {
    let encoded = text.strip_prefix(kind.prefix())?;
    let mut bytes = Zeroizing::new([0; 16 + Secret::LEN]);
    // Exactly this long: nothing else is decoded.
    if encoded.len() != 64 || URL_SAFE_NO_PAD.decode_slice(encoded, &mut *bytes).ok()? != bytes.len() {
        return None;
    }
    let (mut of, mut secret) = ([0; 16], [0; Secret::LEN]);
    of.copy_from_slice(&bytes[..16]);
    secret.copy_from_slice(&bytes[16..]);
    let parsed = Secret(secret);
    secret.zeroize();
    Some((of, parsed))
}

impl SecretHash {
    /// The hash of a text, such as a client secret.
    pub(crate) fn of_text(text: &SecretString) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, text.expose_secret().as_bytes()).as_ref());
        Self(bytes)
    }

    /// The hash that is written in `text`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        base64_bytes::decode(text).map(Self)
    }

    /// As it is written.
    pub(crate) fn to_text(self) -> String {
        base64_bytes::encode(&self.0)
    }

    /// Whether it is the hash of `secret`, in constant time.
    pub(crate) fn is_of(&self, secret: &Secret) -> bool {
        self.0.ct_eq(&secret.hash().0).into()
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Comparing hashes of secrets tells nothing of the secrets.
impl PartialEq for SecretHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash")
    }
}
