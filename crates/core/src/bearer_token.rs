//! [`BearerToken`]: a token as presented, not yet trusted.

use std::fmt;

use http::HeaderValue;

use crate::{Fingerprint, RequestSource};

/// A bearer token as presented: syntactically a token, otherwise untrusted.
///
/// It shares the memory of the header it came in, is never copied, does not print, and cannot be compared with `==`.
/// [RFC 6750 section 2.1](https://www.rfc-editor.org/rfc/rfc6750#section-2.1), `b64token`.
///
/// It does **not** say that the token means anything: that is what a [`VerifyToken`](crate::VerifyToken) finds out.
#[derive(Clone)]
pub struct BearerToken {
    credentials: HeaderValue,
    start: usize,
    source: Option<RequestSource>,
}

/// Why credentials are no [`BearerToken`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidBearerToken {
    /// Another authentication scheme, or none at all.
    #[error("not the scheme Bearer")]
    OtherScheme,
    /// The scheme is `Bearer`, but what follows is not one token.
    #[error("not a token of letters, digits and -._~+/=")]
    Malformed,
}

impl BearerToken {
    /// The token `text`, without a scheme.
    ///
    /// # Errors
    /// [`InvalidBearerToken::Malformed`] if it is not a `token68`.
    pub fn new(text: &str) -> Result<Self, InvalidBearerToken> {
        let credentials = HeaderValue::from_str(text).map_err(|_| InvalidBearerToken::Malformed)?;
        Self::after(credentials, 0)
    }

    /// The token `text` as an authorization server issued it: any visible characters.
    ///
    /// The grammar of token responses ([RFC 6749 appendix A.12](https://www.rfc-editor.org/rfc/rfc6749#appendix-A.12)) is wider
    /// than that of the scheme `Bearer`, and Salesforce makes use of it.
    ///
    /// # Errors
    /// [`InvalidBearerToken::Malformed`] if it is empty or has a character outside `%x21-7E`.
    pub fn issued(text: &str) -> Result<Self, InvalidBearerToken> {
        let visible = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        let credentials = HeaderValue::from_str(text).ok().filter(|_| visible);
        let mut credentials = credentials.ok_or(InvalidBearerToken::Malformed)?;
        credentials.set_sensitive(true);
        Ok(Self { credentials, start: 0, source: None })
    }

    /// The token in the value of an `Authorization` header: scheme `Bearer` in any case, spaces, one `token68`.
    ///
    /// # Errors
    /// [`InvalidBearerToken`].
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

    /// The token itself. Every call is a place where it could leak.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        self.credentials.to_str().map_or("", |text| &text[self.start..])
    }

    /// The value of an `Authorization` header for it, marked as a secret.
    #[must_use]
    pub fn authorization(&self) -> HeaderValue {
        let text = format!("Bearer {}", self.expose_secret());
        let mut credentials = HeaderValue::try_from(text).expect("a token is visible ASCII");
        credentials.set_sensitive(true);
        credentials
    }

    /// The same token in memory of its own: it does not keep the buffer of the connection alive in which it came.
    #[must_use]
    pub fn detached(&self) -> Self {
        let mut credentials = HeaderValue::from_bytes(&self.credentials.as_bytes()[self.start..])
            .expect("a part of a header value is one, too");
        credentials.set_sensitive(true);
        Self { credentials, start: 0, source: self.source }
    }

    /// Sets the source of the request that presented it: for a limit on the calls that tokens of one source cause.
    #[must_use]
    pub const fn with_source(mut self, source: Option<RequestSource>) -> Self {
        self.source = source;
        self
    }

    /// Returns the source of the request that presented it, if that is known. It says nothing about whose token it is.
    #[must_use]
    pub const fn source(&self) -> Option<RequestSource> {
        self.source
    }

    /// How long it is, in bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a token is never empty")]
    pub fn len(&self) -> usize {
        self.credentials.len() - self.start
    }

    /// The hash of the whole token.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.bytes())
    }

    /// The hash of what identifies the token in each of its encodings: of a JWT, the part that is signed; of any other token, the
    /// whole.
    ///
    /// One JWT has several encodings: anyone can turn an ECDSA signature (r, s) into (r, n - s), which is as valid. It is for naming
    /// the token that is withdrawn, and **no key for a cache**: a token with a forged signature has the same.
    #[must_use]
    pub fn signed_fingerprint(&self) -> Fingerprint {
        let bytes = self.bytes();
        let is_signed = self.begins_like_jwt() && self.dots() == 2;
        let end = bytes.iter().rposition(|byte| *byte == b'.').filter(|_| is_signed);
        Fingerprint::of(&bytes[..end.unwrap_or(bytes.len())])
    }

    /// Whether it is to be read as a JWT rather than as an opaque token: three parts (or five, encrypted), the first of which is the
    /// base64url of something that begins with `{`.
    ///
    /// It may still be malformed: then it is a bad JWT, not an opaque token.
    #[must_use]
    pub fn is_likely_jwt(&self) -> bool {
        self.begins_like_jwt() && matches!(self.dots(), 2 | 4)
    }

    /// Base64url of `{` and then white space, `"` or `}`.
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

/// `1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`, without a branch: this is on the hit path.
fn is_token68(token: &[u8]) -> bool {
    let padding = token.iter().rev().take_while(|b| **b == b'=').count();
    let body = &token[..token.len() - padding];
    !body.is_empty() && body.iter().fold(0, |all, byte| all | distance(*byte)) == 0
}

/// Zero if the byte may be in a token. Differences and minima, because those the compiler makes vector instructions of.
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
    fn every_byte_is_judged_as_the_grammar_says() {
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
    fn what_an_authorization_server_issues_may_be_more_than_the_scheme_allows() {
        let token = BearerToken::issued("00D!AQ.x").expect("issued");
        assert_eq!((token.expose_secret(), token.authorization().to_str().ok()), ("00D!AQ.x", Some("Bearer 00D!AQ.x")));
        assert!(token.authorization().is_sensitive());
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
    fn a_detached_token_is_the_same_and_does_not_print_either() {
        let credentials = HeaderValue::from_static("Bearer s3cret");
        let token = BearerToken::from_credentials(credentials).expect("token").detached();
        assert_eq!((token.expose_secret(), token.len()), ("s3cret", 6));
        assert!(token.credentials.is_sensitive() && !format!("{token:?}").contains("s3cret"));
    }

    #[test]
    fn does_not_print() {
        let token = BearerToken::new("s3cret").expect("token");
        assert!(!format!("{token:?}").contains("s3cret"));
        assert_eq!(token.len(), 6);
    }
}
