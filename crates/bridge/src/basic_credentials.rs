//! [`BasicCredentials`]: an id and a secret, as the header `Authorization` has them.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, header};
use secrecy::SecretString;
use url::form_urlencoded;

use crate::oauth_error::{ErrorCode, OAuthError};

/// An id and a secret, as the header `Authorization` has them: `client_secret_basic`.
#[derive(Debug)]
pub(crate) struct BasicCredentials {
    pub(crate) id: String,
    pub(crate) secret: SecretString,
}

const SCHEME: &str = "basic ";

impl BasicCredentials {
    /// Those in `headers`, if there are any. Each half was form-encoded before both were encoded as Base64.
    /// [RFC 6749 section 2.3.1](https://www.rfc-editor.org/rfc/rfc6749#section-2.3.1)
    ///
    /// # Errors
    /// `invalid_client` if there is another scheme, more than one header, or nothing legible.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Option<Self>, OAuthError> {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => Self::parse(value.as_bytes()).map(Some).ok_or_else(illegible),
            (Some(_), Some(_)) => Err(illegible()),
        }
    }

    fn parse(credentials: &[u8]) -> Option<Self> {
        let (scheme, encoded) = credentials.split_at_checked(SCHEME.len())?;
        if !scheme.eq_ignore_ascii_case(SCHEME.as_bytes()) {
            return None;
        }
        let decoded = String::from_utf8(STANDARD.decode(encoded.trim_ascii()).ok()?).ok()?;
        let (id, secret) = decoded.split_once(':')?;
        Some(Self { id: form_decoded(id), secret: form_decoded(secret).into() })
    }
}

/// Many clients do not encode. What has characters that the encoding would have replaced was not encoded, and is taken as it is: so
/// is, as a rule, a secret in Base64.
fn form_decoded(text: &str) -> String {
    let is_encoded = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"*-._+%".contains(&byte));
    if !is_encoded {
        return text.to_owned();
    }
    form_urlencoded::parse(text.as_bytes()).map(|(name, _)| name.into_owned()).collect()
}

fn illegible() -> OAuthError {
    OAuthError::new(ErrorCode::InvalidClient, "the Authorization header cannot be read").with_challenge()
}
