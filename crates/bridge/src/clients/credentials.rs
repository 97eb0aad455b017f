//! [`Credentials`]: the client authentication in a request.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, header};
use portcullis_oauth::{assertion, jwt::UnverifiedJwt};
use secrecy::SecretString;
use url::form_urlencoded;

use crate::{
    oauth_error::{ErrorCode, OAuthError},
    parameters::Parameters,
};

/// [RFC 7523 section 2.2](https://www.rfc-editor.org/rfc/rfc7523#section-2.2)
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

const BASIC: &str = "basic ";

/// The client authentication in a request. Nothing in it is verified.
#[derive(Debug)]
pub(super) struct Credentials {
    pub(super) client_id: String,
    pub(super) proof: Proof,
    /// Whether the `Authorization` header was used. Then an error has a challenge. RFC 6749 section 5.2.
    pub(super) is_in_header: bool,
}

/// What a client presents to authenticate itself.
#[derive(Debug)]
pub(super) enum Proof {
    None,
    Secret(SecretString),
    Assertion(UnverifiedJwt),
}

/// The id and the secret in the `Authorization` header: `client_secret_basic`.
#[derive(Debug)]
pub(crate) struct BasicCredentials {
    pub(crate) id: String,
    pub(crate) secret: SecretString,
}

impl Credentials {
    /// Reads the client authentication of a request, which must use exactly one method.
    ///
    /// # Errors
    /// `invalid_request` for several methods; `invalid_client` for none, or for two different client ids.
    pub(super) fn from_request(headers: &HeaderMap, form: &Parameters) -> Result<Self, OAuthError> {
        let named = form.optional("client_id");
        let (header, posted, signed) = (
            BasicCredentials::from_headers(headers)?,
            form.optional("client_secret"),
            form.optional("client_assertion"),
        );
        let (client_id, proof, is_in_header) = match (header, posted, signed) {
            (Some(BasicCredentials { id, secret }), None, None) => (id, Proof::Secret(secret), true),
            (None, Some(secret), None) => (required(named)?, Proof::Secret(secret.into()), false),
            (None, None, Some(signed)) => {
                let jwt = client_assertion(form, signed)?;
                let issuer = jwt.claimed_issuer().map_err(|_| invalid("client assertion has no iss"))?.to_owned();
                (issuer, Proof::Assertion(jwt), false)
            }
            (None, None, None) => (required(named)?, Proof::None, false),
            _ => return Err(OAuthError::invalid_request("more than one client authentication method")),
        };
        if named.is_some_and(|named| named != client_id) {
            let error = invalid("client_id differs from the authenticated client");
            return Err(if is_in_header { error.with_challenge() } else { error });
        }
        Ok(Self { client_id, proof, is_in_header })
    }
}

impl BasicCredentials {
    /// Reads the credentials in `headers`, if there are any. Each half was form-encoded before both were encoded as Base64.
    /// [RFC 6749 section 2.3.1](https://www.rfc-editor.org/rfc/rfc6749#section-2.3.1)
    ///
    /// # Errors
    /// `invalid_client` for another scheme, more than one header, or a malformed one.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Result<Option<Self>, OAuthError> {
        let malformed = || invalid("malformed Authorization header").with_challenge();
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => Self::parse(value.as_bytes()).map(Some).ok_or_else(malformed),
            (Some(_), Some(_)) => Err(malformed()),
        }
    }

    fn parse(credentials: &[u8]) -> Option<Self> {
        let (scheme, encoded) = credentials.split_at_checked(BASIC.len())?;
        if !scheme.eq_ignore_ascii_case(BASIC.as_bytes()) {
            return None;
        }
        let decoded = String::from_utf8(STANDARD.decode(encoded.trim_ascii()).ok()?).ok()?;
        let (id, secret) = decoded.split_once(':')?;
        Some(Self { id: form_decoded(id), secret: form_decoded(secret).into() })
    }
}

/// Decodes `text`, if it is form-encoded. Many clients do not encode, so a text with characters that the encoding replaces is taken
/// literally, such as most secrets in Base64.
fn form_decoded(text: &str) -> String {
    let is_encoded = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"*-._+%".contains(&byte));
    if !is_encoded {
        return text.to_owned();
    }
    form_urlencoded::parse(text.as_bytes()).map(|(name, _)| name.into_owned()).collect()
}

fn required(client_id: Option<&str>) -> Result<String, OAuthError> {
    client_id.map(str::to_owned).ok_or_else(|| invalid("client authentication and client_id are missing"))
}

fn client_assertion(form: &Parameters, signed: &str) -> Result<UnverifiedJwt, OAuthError> {
    if form.required("client_assertion_type")? != JWT_BEARER {
        return Err(OAuthError::invalid_request("unsupported client_assertion_type"));
    }
    assertion::parse(&signed.into()).map_err(|_| invalid("client assertion is not a signed JWT"))
}

fn invalid(description: &'static str) -> OAuthError {
    OAuthError::new(ErrorCode::InvalidClient, description)
}
