//! [`BearerToken`]: a token as presented, not yet verified.

use std::fmt;

use http::HeaderValue;

use crate::{Fingerprint, RequestSource};

/// What precedes the token in the header `Authorization` of a request that this process sends.
const PREFIX: &str = "Bearer ";

/// A bearer token as presented: syntactically valid, otherwise untrusted.
///
/// It shares the memory of the header that it was read from. Its `Debug` output is redacted, and it has no `==`.
/// [RFC 6750 section 2.1](https://www.rfc-editor.org/rfc/rfc6750#section-2.1), `b64token`.
///
/// It does **not** imply that the token is valid: a [`VerifyToken`](crate::VerifyToken) verifies it.
#[derive(Clone)]
pub struct BearerToken {
    credentials: HeaderValue,
    start: usize,
    source: Option<RequestSource>,
}

/// An error for credentials that are not a [`BearerToken`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidBearerToken {
    /// Another authentication scheme, or no scheme.
    #[error("the authentication scheme is not Bearer")]
    OtherScheme,
    /// The scheme is `Bearer`, but it is not followed by exactly one token.
    #[error("the token has characters other than letters, digits and -._~+/=")]
    Malformed,
}

impl BearerToken {
    /// Parses the token `text`, without a scheme.
    ///
    /// # Errors
    /// [`InvalidBearerToken::Malformed`] if it is not a `token68`.
    pub fn new(text: &str) -> Result<Self, InvalidBearerToken> {
        let credentials = HeaderValue::from_str(text).map_err(|_| InvalidBearerToken::Malformed)?;
        Self::after(credentials, 0)
    }

    /// Accepts the token `text` as an authorization server issued it: any visible ASCII characters.
    ///
    /// The grammar of token responses ([RFC 6749 appendix A.12](https://www.rfc-editor.org/rfc/rfc6749#appendix-A.12)) is wider
    /// than that of the scheme `Bearer`, and tokens of Salesforce have such characters.
    ///
    /// # Errors
    /// [`InvalidBearerToken::Malformed`] if it is empty or has a character outside `%x21-7E`.
    pub fn issued(text: &str) -> Result<Self, InvalidBearerToken> {
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(InvalidBearerToken::Malformed);
        }
        // The header that it will be sent in: a client attaches it without a copy.
        let credentials = HeaderValue::try_from([PREFIX, text].concat());
        let mut credentials = credentials.map_err(|_| InvalidBearerToken::Malformed)?;
        credentials.set_sensitive(true);
        Ok(Self { credentials, start: PREFIX.len(), source: None })
    }

    /// Parses the value of an `Authorization` header: the scheme `Bearer` in any case, spaces, one `token68`.
    ///
    /// # Errors
    /// [`InvalidBearerToken`] if the scheme is another one, or is not followed by exactly one token.
    pub fn from_credentials(credentials: HeaderValue) -> Result<Self, InvalidBearerToken> {
        const SCHEME: &[u8] = b"Bearer";
        let bytes = credentials.as_bytes();
        let Some((scheme, rest)) = bytes.split_at_checked(SCHEME.len()) else {
            return Err(InvalidBearerToken::OtherScheme);
        };
        if !scheme.eq_ignore_ascii_case(SCHEME) {
            return Err(InvalidBearerToken::OtherScheme);
        }
        let spaces = rest.iter().take_while(|b| **b == b' ').count();
        match (spaces, rest.is_empty()) {
            (0, true) => Err(InvalidBearerToken::Malformed),
            (0, false) => Err(InvalidBearerToken::OtherScheme),
            (_, _) => Self::after(credentials, SCHEME.len() + spaces),
        }
    }

    fn after(mut credentials: HeaderValue, start: usize) -> Result<Self, InvalidBearerToken> {
        if !is_token68(&credentials.as_bytes()[start..]) {
            return Err(InvalidBearerToken::Malformed);
        }
        credentials.set_sensitive(true);
        Ok(Self { credentials, start, source: None })
    }

    /// Returns the text of the token. Every call is a place where it could leak.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        self.credentials.to_str().map_or("", |text| &text[self.start..])
    }

    /// Returns the value of an `Authorization` header for the token, marked as sensitive.
    ///
    /// It shares the memory of the token if the token was [issued](Self::issued) to this process or came in such a header.
    #[must_use]
    pub fn authorization(&self) -> HeaderValue {
        if self.start == PREFIX.len() && self.credentials.as_bytes().starts_with(PREFIX.as_bytes()) {
            return self.credentials.clone();
        }
        let text = format!("{PREFIX}{}", self.expose_secret());
        let mut credentials = HeaderValue::try_from(text).expect("a token is visible ASCII");
        credentials.set_sensitive(true);
        credentials
    }

    /// Returns a copy of the token in its own memory, which does not keep the read buffer of the connection alive.
    #[must_use]
    pub fn detached(&self) -> Self {
        let mut credentials = HeaderValue::from_bytes(&self.credentials.as_bytes()[self.start..])
            .expect("a part of a header value is one, too");
        credentials.set_sensitive(true);
        Self { credentials, start: 0, source: self.source }
    }

    /// Sets the source of the request that presented the token, by which the calls that its tokens cause are limited.
    #[must_use]
    pub const fn with_source(mut self, source: Option<RequestSource>) -> Self {
        self.source = source;
        self
    }

    /// Returns the source of the request that presented the token, if it is known. It does not identify the user.
    #[must_use]
    pub const fn source(&self) -> Option<RequestSource> {
        self.source
    }

    /// Returns the length of the token in bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a token is never empty")]
    pub fn len(&self) -> usize {
        self.credentials.len() - self.start
    }

    /// Returns the hash of the whole token.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.bytes())
    }

    /// Returns the hash of the part that all encodings of the token share: of a JWT the signed part, of any other token the whole.
    ///
    /// A JWT has several encodings: from an ECDSA signature (r, s), the valid signature (r, n - s) can be computed without the key. The
    /// hash identifies a token that is revoked. It is **not a cache key**: a token with a forged signature has the same hash.
    #[must_use]
    pub fn signed_fingerprint(&self) -> Fingerprint {
        let bytes = self.bytes();
        let is_signed = self.begins_like_jwt() && self.dots() == 2;
        let end = bytes.iter().rposition(|byte| *byte == b'.').filter(|_| is_signed);
        Fingerprint::of(&bytes[..end.unwrap_or(bytes.len())])
    }

    /// Reports whether the token has the form of a JWT rather than of an opaque token: three parts (five if encrypted), of which the
    /// first is the base64url encoding of text that begins with `{`.
    ///
    /// A token of this form may still be malformed; it is then an invalid JWT, not an opaque token.
    #[must_use]
    pub fn is_likely_jwt(&self) -> bool {
        self.begins_like_jwt() && matches!(self.dots(), 2 | 4)
    }

    /// Reports whether the token begins with the base64url encoding of `{` and white space, `"` or `}`.
    fn begins_like_jwt(&self) -> bool {
        [b"ew", b"ey", b"e3"].iter().any(|start| self.bytes().starts_with(*start))
    }

    fn dots(&self) -> usize {
        self.bytes().iter().filter(|byte| **byte == b'.').count()
    }

    fn bytes(&self) -> &[u8] {
        &self.credentials.as_bytes()[self.start..]
    }
}

/// Reports whether `token` is `1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`.
///
/// It has no branch per byte, because it runs on every request.
fn is_token68(token: &[u8]) -> bool {
    let padding = token.iter().rev().take_while(|b| **b == b'=').count();
    let body = &token[..token.len() - padding];
    !body.is_empty() && body.iter().fold(0, |all, byte| all | distance(*byte)) == 0
}

/// Returns zero if the byte is allowed in a token. Differences and minima compile to vector instructions.
fn distance(b: u8) -> u8 {
    let from_letter = (b | 0x20).wrapping_sub(b'a').saturating_sub(b'z' - b'a');
    let from_digit_minus_dot_slash = b.wrapping_sub(b'-').saturating_sub(b'9' - b'-');
    from_letter.min(from_digit_minus_dot_slash).min(b ^ b'_').min(b ^ b'~').min(b ^ b'+')
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(credentials: &[u8]) -> Result<String, InvalidBearerToken> {
        let value = HeaderValue::from_bytes(credentials).expect("header value");
        BearerToken::from_credentials(value).map(|token| token.expose_secret().to_owned())
    }

    #[test]
    fn scheme_in_any_case_and_spaces() {
        for credentials in ["Bearer abc", "bearer abc", "BEARER   abc", "bEaReR abc"] {
            assert_eq!(parse(credentials.as_bytes()).as_deref(), Ok("abc"), "{credentials}");
        }
    }

    #[test]
    fn every_byte_is_accepted_or_rejected_by_the_grammar() {
        for byte in (0x20_u8..=0xff).filter(|b| *b != 0x7f) {
            let allowed = byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
            let credentials = [b"Bearer a".as_slice(), &[byte], b"a"].concat();
            assert_eq!(parse(&credentials).is_ok(), allowed, "{byte:#x}");
        }
        assert!(parse(b"Bearer aa==").is_ok());
        assert!(parse(b"Bearer a=a").is_err());
        assert!(parse(b"Bearer ===").is_err());
    }

    #[test]
    fn another_scheme_is_not_a_malformed_token() {
        for credentials in ["", "Basic abc", "Bear", "BearerX abc", "DPoP abc", "Bearer\tabc"] {
            assert_eq!(parse(credentials.as_bytes()), Err(InvalidBearerToken::OtherScheme), "{credentials}");
        }
        for credentials in ["Bearer", "Bearer ", "Bearer a b", "Bearer a,b", "Bearer \"a\""] {
            assert_eq!(parse(credentials.as_bytes()), Err(InvalidBearerToken::Malformed), "{credentials}");
        }
    }

    #[test]
    fn an_issued_token_may_have_characters_that_the_scheme_does_not_allow() {
        let token = BearerToken::issued("00D!AQ.x").expect("issued");
        assert_eq!((token.expose_secret(), token.authorization().to_str().ok()), ("00D!AQ.x", Some("Bearer 00D!AQ.x")));
        assert!(token.authorization().is_sensitive());
        assert_eq!(token.authorization().as_bytes().as_ptr(), token.authorization().as_bytes().as_ptr(), "no copy");
        assert_eq!(token.detached().authorization(), "Bearer 00D!AQ.x");
        assert_eq!(token.fingerprint(), Fingerprint::of(b"00D!AQ.x"));
        assert!(BearerToken::new("00D!AQ.x").is_err());
        for text in ["", "a b", "a\r\nb", "\u{e9}", "a\tb"] {
            assert!(BearerToken::issued(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_jwt_is_identified_by_its_signed_part_and_any_other_token_by_the_whole() {
        let signed = |text: &str| BearerToken::new(text).expect(text).signed_fingerprint();
        let of = |text: &str| Fingerprint::of(text.as_bytes());
        assert_eq!((signed("eyJ.eyJ.r_s"), signed("eyJ.eyJ.r_t")), (of("eyJ.eyJ"), of("eyJ.eyJ")));
        assert_ne!(signed("eyJ.eyK.r_s"), of("eyJ.eyJ"));
        for opaque in ["o_1", "v4.local.one", "ya29.a0.b", "eyJ.a", "eyJ.a.b.c.d"] {
            assert_eq!(signed(opaque), of(opaque), "{opaque}");
        }
        let header = HeaderValue::from_static("Bearer eyJ.eyJ.r_s");
        assert_eq!(BearerToken::from_credentials(header).expect("token").signed_fingerprint(), of("eyJ.eyJ"));
    }

    #[test]
    fn a_detached_token_has_the_same_text_and_is_redacted() {
        let credentials = HeaderValue::from_static("Bearer s3cret");
        let token = BearerToken::from_credentials(credentials).expect("token").detached();
        assert_eq!((token.expose_secret(), token.len()), ("s3cret", 6));
        assert!(token.credentials.is_sensitive() && !format!("{token:?}").contains("s3cret"));
    }

    #[test]
    fn debug_output_is_redacted() {
        let token = BearerToken::new("s3cret").expect("token");
        assert!(!format!("{token:?}").contains("s3cret"));
        assert_eq!(token.len(), 6);
    }
}
