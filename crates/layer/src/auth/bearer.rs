//! The extraction of the bearer token from the `Authorization` header.

use http::{HeaderMap, header::AUTHORIZATION};
use portcullis_core::{AuthError, BearerToken, InvalidBearerToken, Reason};

/// Removes the `Authorization` headers and returns their bearer token. The headers are removed in case of an error, too.
///
/// A token in the query or in a form is ignored (OAuth 2.1 section 5.1).
pub(super) fn take_bearer_token(headers: &mut HeaderMap) -> Result<BearerToken, AuthError> {
    let before = headers.len();
    let credentials = headers.remove(AUTHORIZATION).ok_or(Reason::NoCredentials)?;
    // `remove` returns the first value and drops the others; `len` counts every one.
    if before - headers.len() > 1 {
        return Err(Reason::RepeatedHeader.into());
    }
    BearerToken::from_credentials(credentials).map_err(|invalid| match invalid {
        InvalidBearerToken::OtherScheme => Reason::OtherScheme.into(),
        _ => Reason::MalformedHeader.into(),
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn take(values: &[&'static str]) -> Result<String, Reason> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_static(value));
        }
        let token = take_bearer_token(&mut headers);
        assert!(!headers.contains_key(AUTHORIZATION), "the header is removed");
        token.map(|token| token.expose_secret().to_owned()).map_err(|error| error.reason())
    }

    #[test]
    fn rs_44_the_header_is_parsed_by_the_grammar() {
        assert_eq!(take(&["bearer  abc"]).as_deref(), Ok("abc"));
        assert_eq!(take(&[]), Err(Reason::NoCredentials));
        assert_eq!(take(&["Basic abc"]), Err(Reason::OtherScheme));
        assert_eq!(take(&["Bearer a b"]), Err(Reason::MalformedHeader));
    }

    #[test]
    fn rs_46_two_headers_are_a_malformed_request_not_a_choice() {
        for pair in [["Bearer a", "Bearer a"], ["Bearer a", "Basic b"], ["Basic b", "Bearer a"]] {
            assert_eq!(take(&pair), Err(Reason::RepeatedHeader), "{pair:?}");
        }
    }
}
