//! The introspection request and response.

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri};
use portcullis_core::{BearerToken, UnixTime};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::{
    Claims, ClientAuthentication, ProtocolError,
    response::{client_refused, json_object},
};

/// An introspection response: the claims of a token, or that it is not active.
///
/// [RFC 7662 section 2.2](https://www.rfc-editor.org/rfc/rfc7662#section-2.2). It does **not** say that the token may be used
/// here: [`IntrospectionPolicy`](super::IntrospectionPolicy) checks that.
#[derive(Clone, Debug)]
pub struct IntrospectionResponse {
    claims: Option<Claims>,
}

impl IntrospectionResponse {
    /// Reports whether the token is active.
    #[must_use]
    pub const fn is_active(&self) -> bool {
        self.claims.is_some()
    }

    /// Returns the expiry of the token, if the response has one (`exp`).
    #[must_use]
    pub fn expires_at(&self) -> Option<UnixTime> {
        self.claims.as_ref()?.expires_at().ok()?
    }

    pub(super) fn into_claims(self) -> Option<Claims> {
        self.claims
    }
}

/// Returns a request to `endpoint` about `token`, with the hint that it is an access token.
/// [RFC 7662 section 2.1](https://www.rfc-editor.org/rfc/rfc7662#section-2.1)
#[must_use]
pub fn request(endpoint: &Uri, client: &ClientAuthentication, token: &BearerToken) -> Request<Bytes> {
    client.form_request(endpoint, &[("token", token.expose_secret()), ("token_type_hint", "access_token")])
}

/// Returns a request to `endpoint` about a refresh token.
/// [RFC 7662 section 2.1](https://www.rfc-editor.org/rfc/rfc7662#section-2.1)
#[must_use]
pub fn refresh_token_request(
    endpoint: &Uri,
    client: &ClientAuthentication,
    refresh_token: &SecretString,
) -> Request<Bytes> {
    let token = refresh_token.expose_secret();
    client.form_request(endpoint, &[("token", token), ("token_type_hint", "refresh_token")])
}

/// Processes an introspection response.
///
/// 400, 401 and 403 say nothing about the token: [`ProtocolError::ClientRefused`].
///
/// # Errors
/// [`ProtocolError`]; in particular if `active` is not a JSON boolean.
pub fn process(response: &Response<Bytes>) -> Result<IntrospectionResponse, ProtocolError> {
    if let StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN = response.status() {
        return Err(client_refused(response));
    }
    let members = json_object(response)?;
    match members.get("active") {
        Some(Value::Bool(true)) => Ok(IntrospectionResponse { claims: Some(Claims::new(members)) }),
        Some(Value::Bool(false)) => Ok(IntrospectionResponse { claims: None }),
        _ => Err(ProtocolError::InvalidMember("active")),
    }
}

/// Processes the response to a request that `client` authenticated; otherwise as [`process`].
///
/// Some servers return 400, 401 or 403 with the error code `invalid_token` for a dead token. If the client authenticates itself by a
/// secret, only `invalid_client` can be about the client ([RFC 7662 section 2.3](https://www.rfc-editor.org/rfc/rfc7662#section-2.3)), so
/// `invalid_token` rejects the token. A client without a secret receives the same code for its missing authentication, so for such a
/// client it is [`ProtocolError::ClientRefused`].
///
/// # Errors
/// [`ProtocolError`].
pub fn process_for(
    client: &ClientAuthentication,
    response: &Response<Bytes>,
) -> Result<IntrospectionResponse, ProtocolError> {
    process(response).map_err(|error| match &error {
        ProtocolError::ClientRefused { code: Some(code), .. } if code == "invalid_token" && client.has_secret() => {
            ProtocolError::TokenRefused
        }
        _ => error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn processed(status: u16, body: &'static str) -> Result<IntrospectionResponse, ProtocolError> {
        let response = Response::builder().status(status).header("content-type", "application/json");
        process(&response.body(Bytes::from_static(body.as_bytes())).expect("response"))
    }

    #[test]
    fn the_request_is_an_authenticated_form() {
        let client = ClientAuthentication::basic("gate", "hush".into());
        let token = BearerToken::new("a+b/c==").expect("token");
        let request = request(&Uri::from_static("https://idp.example/introspect"), &client, &token);
        assert_eq!(request.method(), "POST");
        assert_eq!(request.headers()["content-type"], "application/x-www-form-urlencoded");
        assert_eq!(request.headers()["accept"], "application/json");
        assert_eq!(request.body().as_ref(), b"token=a%2Bb%2Fc%3D%3D&token_type_hint=access_token");
    }

    #[test]
    fn active_must_be_a_json_boolean() {
        assert!(processed(200, r#"{"active":true}"#).is_ok_and(|response| response.is_active()));
        assert!(processed(200, r#"{"active":false,"sub":"x"}"#).is_ok_and(|response| !response.is_active()));
        for body in ["{}", r#"{"active":"true"}"#, r#"{"active":1}"#, r#"{"active":null}"#] {
            assert_eq!(processed(200, body).expect_err(body), ProtocolError::InvalidMember("active"));
        }
        assert!(processed(200, r#"{"active":false,"active":true}"#).is_err());
    }

    #[test]
    fn invalid_token_is_about_the_token_if_the_client_has_a_secret() {
        let process_for = |client: &ClientAuthentication, status: u16, code: &str| {
            let body = format!(r#"{{"error":"{code}"}}"#);
            process_for(client, &Response::builder().status(status).body(Bytes::from(body)).expect("response"))
                .expect_err("refused")
        };
        let (basic, post) = (ClientAuthentication::basic("g", "s".into()), ClientAuthentication::post("g", "s".into()));
        for status in [400, 401, 403] {
            for client in [&basic, &post] {
                assert_eq!(process_for(client, status, "invalid_token"), ProtocolError::TokenRefused);
                assert!(process_for(client, status, "invalid_client").is_invalid_client());
                let other = process_for(client, status, "access_denied");
                assert!(matches!(other, ProtocolError::ClientRefused { .. }) && !other.is_invalid_client());
            }
            let public = process_for(&ClientAuthentication::public("g"), status, "invalid_token");
            assert!(matches!(public, ProtocolError::ClientRefused { .. }));
        }
    }

    #[test]
    fn a_rejected_request_says_nothing_about_the_token() {
        for status in [400, 401, 403] {
            let error = processed(status, r#"{"error":"invalid_client"}"#).expect_err("refused");
            let code = Some("invalid_client".to_owned());
            let status = StatusCode::from_u16(status).expect("status");
            assert_eq!(error, ProtocolError::ClientRefused { status, code });
        }
        assert!(matches!(processed(429, ""), Err(ProtocolError::RateLimited { .. })));
        assert!(matches!(processed(502, ""), Err(ProtocolError::ServerError { .. })));
        assert!(matches!(processed(404, ""), Err(ProtocolError::UnexpectedStatus(_))));
    }
}
