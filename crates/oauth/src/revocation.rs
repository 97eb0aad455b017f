//! Token revocation: [RFC 7009](https://www.rfc-editor.org/rfc/rfc7009).

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri};
use portcullis_core::BearerToken;
use secrecy::{ExposeSecret, SecretString};

use crate::{
    ClientAuthentication, ProtocolError,
    response::{client_refused, error_code, failure},
};

/// The tokens of one grant, to be revoked.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RevokedTokens<'a> {
    /// The access token.
    pub access_token: &'a BearerToken,
    /// The refresh token, if there is one.
    pub refresh_token: Option<&'a SecretString>,
}

impl<'a> RevokedTokens<'a> {
    /// Creates the tokens of a grant.
    #[must_use]
    pub const fn new(access_token: &'a BearerToken, refresh_token: Option<&'a SecretString>) -> Self {
        Self { access_token, refresh_token }
    }

    /// Returns the token whose revocation ends the grant, and its type.
    pub(crate) fn strongest(&self) -> (&'a str, &'static str) {
        match self.refresh_token {
            Some(token) => (token.expose_secret(), "refresh_token"),
            None => (self.access_token.expose_secret(), "access_token"),
        }
    }
}

/// Returns a request to `endpoint` that revokes the grant behind `tokens`: its refresh token, which revokes the access token as well
/// ([RFC 7009 section 2.1](https://www.rfc-editor.org/rfc/rfc7009#section-2.1)), else its access token.
#[must_use]
pub fn request(endpoint: &Uri, client: &ClientAuthentication, tokens: RevokedTokens<'_>) -> Request<Bytes> {
    let (token, hint) = tokens.strongest();
    client.form_request(endpoint, &[("token", token), ("token_type_hint", hint)])
}

/// Processes the response to a revocation request. A token that was invalid before counts as revoked.
///
/// # Errors
/// [`ProtocolError`] if the response does not confirm it. The token may still be valid.
pub fn process(response: &Response<Bytes>) -> Result<(), ProtocolError> {
    let status = response.status();
    if status.is_success() || error_code(response).as_deref() == Some("invalid_token") {
        return Ok(());
    }
    match status {
        StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(client_refused(response)),
        _ => Err(failure(response).unwrap_or(ProtocolError::UnexpectedStatus(status))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refresh_token_is_revoked_if_there_is_one() {
        let (client, endpoint) =
            (ClientAuthentication::post("c", "s".into()), Uri::from_static("https://idp.example/r"));
        let (access, refresh) = (BearerToken::new("at").expect("token"), SecretString::from("rt"));
        let body = |refresh| request(&endpoint, &client, RevokedTokens::new(&access, refresh)).into_body();
        assert_eq!(body(Some(&refresh)), "token=rt&token_type_hint=refresh_token&client_id=c&client_secret=s");
        assert_eq!(body(None), "token=at&token_type_hint=access_token&client_id=c&client_secret=s");
    }

    #[test]
    fn a_token_that_was_dead_before_counts_as_revoked() {
        let processed = |status: u16, body: &'static str| {
            process(&Response::builder().status(status).body(Bytes::from_static(body.as_bytes())).expect("response"))
        };
        assert_eq!(processed(200, ""), Ok(()));
        assert_eq!(processed(204, ""), Ok(()));
        assert_eq!(processed(400, r#"{"error":"invalid_token"}"#), Ok(()));
        assert!(matches!(processed(401, r#"{"error":"invalid_client"}"#), Err(ProtocolError::ClientRefused { .. })));
        assert!(matches!(processed(503, ""), Err(ProtocolError::ServerError { .. })));
        assert!(matches!(processed(404, ""), Err(ProtocolError::UnexpectedStatus(_))));
    }
}
