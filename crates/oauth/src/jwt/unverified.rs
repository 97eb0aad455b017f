//! [`UnverifiedJwt`]: a bearer token that has the form of a JWT.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_core::{AuthError, BearerToken, Reason, UnixTime};
use serde_json::{Map, Value};

use crate::{Claims, strict_json};

/// A bearer token that has the form of a signed JWT. Nothing in it is verified.
///
/// [RFC 7515 section 3.1](https://www.rfc-editor.org/rfc/rfc7515#section-3.1) (JWS Compact Serialization).
pub struct UnverifiedJwt {
    pub(super) token: BearerToken,
    pub(super) header: Map<String, Value>,
    pub(super) claims: Claims,
    pub(super) signature: Vec<u8>,
    /// The length of the signed part.
    pub(super) signed_len: usize,
}

impl UnverifiedJwt {
    /// Reports whether `token` [has the form of a JWT](BearerToken::is_likely_jwt) rather than of an opaque token.
    #[must_use]
    pub fn is_likely(token: &BearerToken) -> bool {
        token.is_likely_jwt()
    }

    /// Parses `token`, if it has at most `max_len` bytes: the length is checked before anything is decoded.
    ///
    /// # Errors
    /// [`Reason::TokenTooLarge`]; [`Reason::EncryptedToken`] if it has five parts; [`Reason::MalformedToken`] if it has
    /// not three parts in base64url (without padding, in canonical form) of which the first two are objects
    /// in [strict JSON](strict_json).
    pub fn parse(token: &BearerToken, max_len: usize) -> Result<Self, AuthError> {
        if token.len() > max_len {
            return Err(AuthError::new(Reason::TokenTooLarge));
        }
        let text = token.expose_secret();
        let mut parts = text.split('.');
        let (Some(header), Some(payload), Some(signature)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(malformed("not three parts"));
        };
        match parts.count() {
            0 => {}
            2 => {
                let problem = "the token has five parts: it is encrypted (JWE); configure the issuer to sign it only";
                return Err(AuthError::new(Reason::EncryptedToken).with_source(problem));
            }
            _ => return Err(malformed("not three parts")),
        }
        Ok(Self {
            header: strict_json::parse_object(&decode(header)?).map_err(malformed)?,
            claims: Claims::parse(&decode(payload)?).map_err(malformed)?,
            signature: decode(signature)?,
            signed_len: header.len() + 1 + payload.len(),
            token: token.clone(),
        })
    }

    /// Returns the claimed issuer, which may be used only to choose a verifier.
    ///
    /// # Errors
    /// [`Reason::MissingClaim`] if `iss` is absent or not a string.
    pub fn claimed_issuer(&self) -> Result<&str, AuthError> {
        Ok(self.claims.issuer()?.ok_or(crate::InvalidClaim("iss"))?)
    }

    /// Returns the claimed time of issue (`iat`).
    ///
    /// # Errors
    /// [`InvalidClaim`](crate::InvalidClaim) if `iat` is not a `NumericDate`.
    pub(super) fn claimed_issued_at(&self) -> Result<Option<UnixTime>, crate::InvalidClaim> {
        self.claims.issued_at()
    }

    /// Returns the claimed expiry (`exp`), for a client that was told no lifetime of a token that was issued to it.
    #[must_use]
    pub fn claimed_expiry(&self) -> Option<UnixTime> {
        self.claims.expires_at().ok().flatten()
    }

    /// Returns the claims without verification, for tokens that were received from the issuer directly.
    pub(crate) fn into_claims(self) -> Claims {
        self.claims
    }
}

/// Prints no part of the token: header, claims and signature together are the token.
impl fmt::Debug for UnverifiedJwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnverifiedJwt").finish_non_exhaustive()
    }
}

fn decode(part: &str) -> Result<Vec<u8>, AuthError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed("not base64url without padding"))
}

fn malformed(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> AuthError {
    AuthError::new(Reason::MalformedToken).with_source(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> BearerToken {
        BearerToken::new(text).expect("token68")
    }

    #[test]
    fn only_what_begins_like_an_object_and_has_its_parts_is_likely_a_jwt() {
        for header in ["{\"alg\":1}", "{ \"alg\":1}", "{\n}", "{}", "{\t", "{\""] {
            let text = format!("{}.e30.", URL_SAFE_NO_PAD.encode(header));
            assert!(UnverifiedJwt::is_likely(&token(&text)), "{header}");
        }
        assert!(UnverifiedJwt::is_likely(&token("eyJ.a.b.c.d")), "encrypted");
        for text in ["eyJ", "eyJ.a", "eyJ.a.b.c", "v4.local.x", "ya29.a0.b", "e", "ex.a.b", "W10.a.b", "..", "gho_abc"]
        {
            assert!(!UnverifiedJwt::is_likely(&token(text)), "{text}");
        }
    }

    #[test]
    fn the_claimed_issuer_is_read_without_believing_it() {
        let text = |claims: &str| format!("e30.{}.", URL_SAFE_NO_PAD.encode(claims));
        let parse = |claims: &str| UnverifiedJwt::parse(&token(&text(claims)), 1000).expect("form of a JWT");
        assert_eq!(parse(r#"{"iss":"https://a.example"}"#).claimed_issuer().expect("iss"), "https://a.example");
        for claims in ["{}", r#"{"iss":["https://a.example"]}"#] {
            assert_eq!(parse(claims).claimed_issuer().expect_err(claims).reason(), Reason::MissingClaim);
        }
        assert_eq!(UnverifiedJwt::parse(&token("e30.e30."), 7).expect_err("large").reason(), Reason::TokenTooLarge);
    }
}
