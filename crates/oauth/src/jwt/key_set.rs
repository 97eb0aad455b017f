//! [`KeySet`]: the published keys of an issuer.

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use portcullis_core::{AuthError, Reason};
use serde_json::Value;

use super::{Algorithm, HeaderCheckedJwt, VerificationKey};
use crate::{
    ProtocolError,
    response::failure,
    strict_json::{self, InvalidJson},
};

/// The published keys of an issuer (JWK Set).
///
/// It only selects a key. It does **not** fetch keys, and it has no expiry.
/// [RFC 7517 section 5](https://www.rfc-editor.org/rfc/rfc7517#section-5).
#[derive(Clone, Debug)]
pub struct KeySet {
    keys: Vec<VerificationKey>,
    skipped: Vec<SkippedKey>,
}

/// A key of a set that cannot be used, and the reason. It does not invalidate the set: an issuer may introduce new key types.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct SkippedKey {
    /// The index in the array `keys`, from 0.
    pub index: usize,
    /// A short description of the error.
    pub problem: &'static str,
}

/// An error for a document that is not a valid [`KeySet`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidKeySet {
    /// Not JSON, or ambiguous JSON.
    #[error(transparent)]
    Json(#[from] InvalidJson),
    /// The array `keys` is missing.
    #[error("the array `keys` is missing")]
    NoKeys,
    /// No key of the set can verify a signature.
    #[error("no usable key; skipped: {0:?}")]
    NoneUsable(Vec<SkippedKey>),
    /// The response does not contain a key set.
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
    /// The maximum number of keys that are read, which is more than any issuer publishes.
    pub const MAX_KEYS: usize = 64;

    /// Parses a JWK Set document.
    ///
    /// Keys are skipped if they are symmetric, private, of an unsupported type or curve, too short (RSA below 2048 bits),
    /// or beyond the first [`MAX_KEYS`](Self::MAX_KEYS). Keys for another use than signatures are omitted and not reported.
    ///
    /// # Errors
    /// [`InvalidKeySet`] if it is not a JWK Set, or if no key is left.
    pub fn parse(text: &[u8]) -> Result<Self, InvalidKeySet> {
        let document = strict_json::parse_object(text)?;
        let jwks = document.get("keys").and_then(Value::as_array).ok_or(InvalidKeySet::NoKeys)?;
        let (mut keys, mut skipped) = (Vec::new(), Vec::new());
        for (index, jwk) in jwks.iter().enumerate() {
            let key = match jwk {
                _ if index >= Self::MAX_KEYS => Err("beyond the maximum number of keys"),
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

    /// Creates a request for the key set at `url`, the `jwks_uri` of an issuer.
    #[must_use]
    pub fn request(url: &Uri) -> Request<Bytes> {
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() = url.clone();
        let accept = HeaderValue::from_static("application/jwk-set+json, application/json");
        request.headers_mut().insert(header::ACCEPT, accept);
        request
    }

    /// Processes a response with a key set. Its content type is ignored, because issuers use various ones.
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

    /// Selects the key for `jwt`: the key with its `kid` that fits its algorithm, or without `kid` the only key that fits.
    ///
    /// Returns `None` if no key or more than one fits: keys are not tried one after the other.
    #[must_use]
    pub fn select(&self, jwt: &HeaderCheckedJwt) -> Option<&VerificationKey> {
        let named = |key: &VerificationKey| jwt.key_id().is_none_or(|id| key.id() == Some(id));
        let mut fitting = self.keys.iter().filter(|key| named(key) && key.fits(jwt.algorithm()));
        match (fitting.next(), fitting.next()) {
            (key, None) => key,
            (_, Some(_)) => None,
        }
    }

    /// Reports whether a key verifies signatures by `algorithm`.
    #[must_use]
    pub fn has_key_for(&self, algorithm: Algorithm) -> bool {
        self.keys.iter().any(|key| key.fits(algorithm))
    }

    /// Returns the number of keys, which is never zero.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a key set is never empty")]
    pub const fn len(&self) -> usize {
        self.keys.len()
    }

    /// Returns the skipped keys, for a warning in the log.
    #[must_use]
    pub fn skipped(&self) -> &[SkippedKey] {
        &self.skipped
    }
}
