//! [`Secret`], [`ParsedToken`] and [`TokenFamily`]: the bridge's codes and tokens.

use std::fmt;

use aws_lc_rs::{digest, hmac};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_core::GrantId;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, ZeroizeOnDrop, Zeroizing};

/// The use of a secret. Its prefix lets secret scanners find published tokens.
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

/// 256 random bits, which `Debug` does not print and `Drop` wipes.
#[derive(ZeroizeOnDrop)]
pub(crate) struct Secret([u8; Self::LEN]);

/// The SHA-256 of a secret, as stored.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct SecretHash(#[serde(with = "base64_bytes")] [u8; 32]);

/// Sixteen random bytes per session, which are a part of its refresh tokens and of nothing else.
///
/// The session's id is a hash of them. Codes and access tokens contain that id, so a party that sees one, such as a resource server,
/// cannot construct a former refresh token, whose use would end the session.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct TokenFamily(#[serde(with = "base64_bytes")] [u8; Self::LEN]);

/// A well-formed refresh token (`S` is [`TokenFamily`]), or code or reference token (`S` is the session's id). It is not verified.
pub(crate) struct ParsedToken<S> {
    /// The family or the session that the token names.
    pub(crate) of: S,
    /// The secret.
    pub(crate) secret: Secret,
}

impl Secret {
    pub(crate) const LEN: usize = 32;

    /// Generates a new one.
    pub(crate) fn random() -> Self {
        let mut bytes = [0; Self::LEN];
        rand::fill(&mut bytes);
        Self(bytes)
    }

    /// Derives another secret by HMAC, for the use `label`.
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

    /// Returns the authorization code of a session.
    pub(crate) fn code(&self, session: GrantId) -> SecretString {
        self.text(Kind::Code, session.as_bytes())
    }

    /// Returns the reference token of a session.
    pub(crate) fn access_token(&self, session: GrantId) -> SecretString {
        self.text(Kind::AccessToken, session.as_bytes())
    }

    /// Returns the refresh token of a session.
    pub(crate) fn refresh_token(&self, family: TokenFamily) -> SecretString {
        self.text(Kind::RefreshToken, family.as_bytes())
    }

    fn text(&self, kind: Kind, of: &[u8; 16]) -> SecretString {
        let mut bytes = Zeroizing::new([0; 16 + Self::LEN]);
        bytes[..16].copy_from_slice(of);
        bytes[16..].copy_from_slice(&self.0);
        // Allocated at once, because a growing string would leave copies behind.
        let mut text = String::with_capacity(kind.prefix().len() + 64);
        text.push_str(kind.prefix());
        URL_SAFE_NO_PAD.encode_string(*bytes, &mut text);
        SecretString::from(text)
    }
}

impl ParsedToken<TokenFamily> {
    /// Parses a refresh token.
    pub(crate) fn refresh_token(text: &str) -> Option<Self> {
        parts(Kind::RefreshToken, text).map(|(of, secret)| Self { of: TokenFamily::from_bytes(of), secret })
    }
}

impl ParsedToken<GrantId> {
    /// Parses an authorization code.
    pub(crate) fn code(text: &str) -> Option<Self> {
        parts(Kind::Code, text).map(|(of, secret)| Self { of: GrantId::from_bytes(of), secret })
    }

    /// Parses a reference token.
    pub(crate) fn access_token(text: &str) -> Option<Self> {
        parts(Kind::AccessToken, text).map(|(of, secret)| Self { of: GrantId::from_bytes(of), secret })
    }
}

fn parts(kind: Kind, text: &str) -> Option<([u8; 16], Secret)> {
    let encoded = text.strip_prefix(kind.prefix())?;
    let mut bytes = Zeroizing::new([0; 16 + Secret::LEN]);
    // The length is checked before decoding.
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
    /// Hashes a text, such as a client secret.
    pub(crate) fn of_text(text: &SecretString) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, text.expose_secret().as_bytes()).as_ref());
        Self(bytes)
    }

    /// Parses the text form of a hash.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        base64_bytes::decode(text).map(Self)
    }

    /// Returns the text form.
    pub(crate) fn to_text(self) -> String {
        base64_bytes::encode(&self.0)
    }

    /// Reports whether it is the hash of `secret`, in constant time.
    pub(crate) fn is_of(&self, secret: &Secret) -> bool {
        self.0.ct_eq(&secret.hash().0).into()
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl TokenFamily {
    pub(crate) const LEN: usize = 16;

    /// Generates a new one.
    pub(crate) fn random() -> Self {
        let mut bytes = [0; Self::LEN];
        rand::fill(&mut bytes);
        Self(bytes)
    }

    pub(crate) const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// Returns the id of the session, which is also the id of its grant.
    pub(crate) fn session(&self) -> GrantId {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(b"portcullis session\0");
        hash.update(&self.0);
        let mut id = [0; 16];
        id.copy_from_slice(&hash.finish().as_ref()[..16]);
        GrantId::from_bytes(id)
    }
}

/// Prints the session's id, because the family itself is confidential.
impl fmt::Debug for TokenFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenFamily(of {})", self.session())
    }
}

/// Constant-time comparison.
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

/// A fixed number of bytes as base64url without padding.
pub(crate) mod base64_bytes {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    /// Encodes `bytes`.
    pub(crate) fn encode<const N: usize>(bytes: &[u8; N]) -> String {
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Decodes exactly `N` bytes.
    pub(crate) fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        let len = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        (len == N).then_some(bytes)
    }

    pub(crate) fn serialize<S: Serializer, const N: usize>(bytes: &[u8; N], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(deserializer: D) -> Result<[u8; N], D::Error> {
        let text = String::deserialize(deserializer)?;
        decode(&text).ok_or_else(|| de::Error::custom("not base64url of the expected length"))
    }
}
