//! [`KeySet`]: the keys that an issuer publishes.

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use portcullis_core::{AuthError, Reason};
use serde_json::Value;

use super::{HeaderCheckedJwt, VerificationKey};
use crate::{
    ProtocolError,
    response::failure,
    strict_json::{self, InvalidJson},
};

/// The keys that an issuer publishes, parsed once.
///
/// Choosing among them is all it does; where they come from and how long they are good is for whoever keeps it.
/// [RFC 7517 section 5](https://www.rfc-editor.org/rfc/rfc7517#section-5).
#[derive(Clone, Debug)]
pub struct KeySet {
    keys: Vec<VerificationKey>,
    skipped: Vec<SkippedKey>,
}

/// A key of a set that is not used, and why. It never fails the set: an issuer may introduce key types we do not know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct SkippedKey {
    /// Which of the array `keys`, from 0.
    pub index: usize,
    /// What is wrong with it, in a few words.
    pub problem: &'static str,
}

/// Why a text is no [`KeySet`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidKeySet {
    /// Not JSON, or ambiguous JSON.
    #[error(transparent)]
    Json(#[from] InvalidJson),
    /// No array `keys`.
    #[error("a key set has an array `keys`")]
    NoKeys,
    /// Not one key in it can verify a signature.
    #[error("no key can be used; skipped: {0:?}")]
    NoneUsable(Vec<SkippedKey>),
    /// Not a response with a key set in it.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
}

impl From<InvalidKeySet> for AuthError {
    fn from(error: InvalidKeySet) -> Self {
        match error {
            InvalidKeySet::Protocol(error) => error.into(),
            error => Self::new(Reason::ProviderMisbehaved).with_source(error),
        }
    }
}

impl KeySet {
    /// So many keys of a set are looked at: more than any issuer rotates through.
    pub const MAX_KEYS: usize = 64;

    /// The key set written in `text`, a JWK Set document.
    ///
    /// Skipped are keys that are symmetric, private, of an unsupported type or curve, too short (RSA below 2048 bits),
    /// or beyond the first [`MAX_KEYS`](Self::MAX_KEYS). Keys for another use than signatures are left out without a word.
    ///
    /// # Errors
    /// [`InvalidKeySet`] if it is not a JWK Set, or if no key is left.
    pub fn parse(text: &[u8]) -> Result<Self, InvalidKeySet> {
        let document = strict_json::parse_object(text)?;
        let jwks = document.get("keys").and_then(Value::as_array).ok_or(InvalidKeySet::NoKeys)?;
        let (mut keys, mut skipped) = (Vec::new(), Vec::new());
        for (index, jwk) in jwks.iter().enumerate() {
            let key = match jwk {
                _ if index >= Self::MAX_KEYS => Err("more keys than are looked at"),
                Value::Object(jwk) => VerificationKey::parse(jwk),
                _ => Err("not an object"),
            };
            match key {
                Ok(key) => keys.extend(key),
                Err(problem) => skipped.push(SkippedKey { index, problem }),
            }
        }
        if keys.is_empty() {
            return Err(InvalidKeySet::NoneUsable(skipped));
        }
        Ok(Self { keys, skipped })
    }

    /// A request for the key set at `url`, the `jwks_uri` of an issuer.
    #[must_use]
    pub fn request(url: &Uri) -> Request<Bytes> {
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() = url.clone();
        let accept = HeaderValue::from_static("application/jwk-set+json, application/json");
        request.headers_mut().insert(header::ACCEPT, accept);
        request
    }

    /// The key set in `response`. Its content type is not looked at: issuers write many.
    ///
    /// # Errors
    /// [`InvalidKeySet`] if it is not a 200 with a JWK Set.
    pub fn process(response: &Response<Bytes>) -> Result<Self, InvalidKeySet> {
        if response.status() != StatusCode::OK {
            let unexpected = || ProtocolError::UnexpectedStatus(response.status());
            return Err(failure(response).unwrap_or_else(unexpected).into());
        }
        Self::parse(response.body())
    }

    /// The key for `jwt`: the one that has its `kid` and fits its algorithm; without `kid`, the one that fits.
    ///
    /// `None` if there is none, or more than one: which of several is meant is not for us to try out.
    #[must_use]
    pub fn select(&self, jwt: &HeaderCheckedJwt) -> Option<&VerificationKey> {
        let named = |key: &VerificationKey| jwt.key_id().is_none_or(|id| key.id() == Some(id));
        let mut fitting = self.keys.iter().filter(|key| named(key) && key.fits(jwt.algorithm()));
        match (fitting.next(), fitting.next()) {
            (key, None) => key,
            (_, Some(_)) => None,
        }
    }

    /// How many keys there are; never none.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a key set is never empty")]
    pub const fn len(&self) -> usize {
        self.keys.len()
    }

    /// The keys that were not used, for a warning in the log.
    #[must_use]
    pub fn skipped(&self) -> &[SkippedKey] {
        &self.skipped
    }
}
