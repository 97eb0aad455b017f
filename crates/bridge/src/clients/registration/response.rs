//! [`RegisteredClient`]: the response to a registration request.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use portcullis_core::UnixTime;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use super::{Method, RegistrationRequest};
use crate::{
    clients::{ClientKeys, GrantType, RedirectUri},
    response,
};

/// A client that has registered: its id, and its secret, which only this response contains.
#[derive(Debug)]
pub(crate) struct RegisteredClient {
    pub(super) id: Box<str>,
    pub(super) secret: Option<SecretString>,
    pub(super) issued_at: UnixTime,
    pub(super) request: RegistrationRequest,
    /// The scopes that it requested and that the bridge has.
    pub(super) scope: String,
}

/// The registered metadata. [RFC 7591 section 3.2.1](https://www.rfc-editor.org/rfc/rfc7591#section-3.2.1)
#[derive(Serialize)]
struct Body<'a> {
    client_id: &'a str,
    client_id_issued_at: UnixTime,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<&'a str>,
    /// Zero, which means never: the secret is valid as long as the registration exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret_expires_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_uri: Option<&'a str>,
    redirect_uris: &'a [RedirectUri],
    application_type: &'a str,
    grant_types: &'a [GrantType],
    response_types: [&'static str; 1],
    token_endpoint_auth_method: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwks_uri: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwks: Option<&'a serde_json::Value>,
    #[serde(skip_serializing_if = "str::is_empty")]
    scope: &'a str,
}

impl IntoResponse for RegisteredClient {
    fn into_response(self) -> Response {
        let Self { request, .. } = &self;
        let (method, keys) = match &request.method {
            Method::None => ("none", None),
            Method::SecretBasic => ("client_secret_basic", None),
            Method::SecretPost => ("client_secret_post", None),
            Method::PrivateKeyJwt(keys) => ("private_key_jwt", Some(keys)),
        };
        let (jwks_uri, jwks) = match keys {
            Some(ClientKeys::JwksUri(url)) => (Some(&**url), None),
            Some(ClientKeys::Jwks(jwks)) => (None, Some(jwks)),
            None => (None, None),
        };
        let body = Body {
            client_id: &self.id,
            client_id_issued_at: self.issued_at,
            client_secret: self.secret.as_ref().map(|secret| secret.expose_secret()),
            client_secret_expires_at: self.secret.is_some().then_some(0),
            client_name: request.name.as_deref(),
            client_uri: request.uri.as_deref(),
            redirect_uris: &request.redirect_uris,
            application_type: request.application_type.as_str(),
            grant_types: &request.grant_types,
            response_types: ["code"],
            token_endpoint_auth_method: method,
            jwks_uri,
            jwks,
            scope: &self.scope,
        };
        response::json(StatusCode::CREATED, &body)
    }
}
