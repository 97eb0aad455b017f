//! [`Credentials`]: who a client says it is, and what it shows for it.

use http::HeaderMap;
use portcullis_oauth::{assertion, jwt::UnverifiedJwt};
use secrecy::SecretString;

use crate::{
    basic_credentials::BasicCredentials,
    oauth_error::{ErrorCode, OAuthError},
    parameters::Parameters,
};

/// [RFC 7523 section 2.2](https://www.rfc-editor.org/rfc/rfc7523#section-2.2)
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Who a client says it is, and what it shows for it. Nothing is true yet.
#[derive(Debug)]
pub(in crate::clients) struct Credentials {
    pub(in crate::clients) client_id: String,
    pub(in crate::clients) proof: Proof,
    /// By the header: then it is also challenged. RFC 6749 section 5.2.
    pub(in crate::clients) is_in_header: bool,
}

/// What a client shows for being who it says.
#[derive(Debug)]
pub(in crate::clients) enum Proof {
    Nothing,
    Secret(SecretString),
    Assertion(UnverifiedJwt),
}

impl Credentials {
    /// What a request says, by exactly one method.
    ///
    /// # Errors
    /// `invalid_request` if it uses several; `invalid_client` if it says nothing, or says it of two clients.
    pub(in crate::clients) fn of(headers: &HeaderMap, form: &Parameters) -> Result<Self, OAuthError> {
        let named = form.optional("client_id");
        let (header, posted, signed) =
            (BasicCredentials::of(headers)?, form.optional("client_secret"), form.optional("client_assertion"));
        let (client_id, proof, is_in_header) = match (header, posted, signed) {
            (Some(BasicCredentials { id, secret }), None, None) => (id, Proof::Secret(secret), true),
            (None, Some(secret), None) => (required(named)?, Proof::Secret(secret.into()), false),
            (None, None, Some(signed)) => {
                let jwt = signed_by(form, signed)?;
                let issuer = jwt.claimed_issuer().map_err(|_| refused("the assertion names no client"))?.to_owned();
                (issuer, Proof::Assertion(jwt), false)
            }
            (None, None, None) => (required(named)?, Proof::Nothing, false),
            _ => return Err(OAuthError::invalid_request("more than one way of client authentication")),
        };
        if named.is_some_and(|named| named != client_id) {
            let error = refused("client_id is that of another client");
            return Err(if is_in_header { error.with_challenge() } else { error });
        }
        Ok(Self { client_id, proof, is_in_header })
    }
}

fn required(client_id: Option<&str>) -> Result<String, OAuthError> {
    client_id.map(str::to_owned).ok_or_else(|| refused("there is no client authentication, not even a client_id"))
}

fn signed_by(form: &Parameters, signed: &str) -> Result<UnverifiedJwt, OAuthError> {
    if form.required("client_assertion_type")? != JWT_BEARER {
        return Err(OAuthError::invalid_request("client_assertion_type is not known"));
    }
    assertion::parse(&signed.into()).map_err(|_| refused("the assertion is no signed JWT"))
}

fn refused(why: &'static str) -> OAuthError {
    OAuthError::new(ErrorCode::InvalidClient, why)
}
