//! `BearerToken`: the grammar of RFC 6750, byte by byte, and no token in what is printed.

use http::HeaderValue;
use portcullis_core::{BearerToken, InvalidBearerToken};

pub(crate) fn hold(input: &[u8]) {
    let Ok(credentials) = HeaderValue::from_bytes(input) else { return };
    let found = BearerToken::from_credentials(credentials);
    assert_eq!(found.as_ref().map(|token| token.expose_secret().as_bytes()).map_err(|error| *error), expected(input));
    if let Ok(token) = found {
        assert_eq!(token.len(), token.expose_secret().len());
        assert_eq!(format!("{token:?}"), "BearerToken([redacted])");
        let bare = BearerToken::new(token.expose_secret()).expect("it is a token without the scheme, too");
        assert_eq!(bare.fingerprint(), token.fingerprint());
    }
}

/// The grammar, as slow and plain as can be.
fn expected(input: &[u8]) -> Result<&[u8], InvalidBearerToken> {
    let end = input.iter().position(|byte| *byte == b' ').unwrap_or(input.len());
    let (scheme, rest) = input.split_at(end);
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return Err(InvalidBearerToken::OtherScheme);
    }
    let token = &rest[rest.iter().position(|byte| *byte != b' ').unwrap_or(rest.len())..];
    let body = token.iter().position(|byte| *byte == b'=').unwrap_or(token.len());
    let (body, padding) = token.split_at(body);
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(byte);
    if !body.is_empty() && body.iter().all(allowed) && padding.iter().all(|byte| *byte == b'=') {
        Ok(token)
    } else {
        Err(InvalidBearerToken::Malformed)
    }
}
