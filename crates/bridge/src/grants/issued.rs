//! [`Issued`]: tokens, and whose they are.

use http::StatusCode;
use portcullis_core::GrantId;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use crate::{
    Bridge,
    access_tokens::Minted,
    answer::{self, Answer},
    oauth_error::{ErrorCode, OAuthError},
    parameters::Parameters,
    session::{Session, TokenPair},
};

/// Tokens, and whose they are.
#[derive(Debug)]
pub(crate) struct Issued {
    pub(crate) id: GrantId,
    pub(crate) session: Session,
    pub(crate) pair: TokenPair,
}

/// The answer of the token endpoint. [RFC 6749 section 5.1](https://www.rfc-editor.org/rfc/rfc6749#section-5.1)
#[derive(Serialize)]
struct TokenAnswer<'a> {
    access_token: &'a str,
    token_type: &'static str,
    expires_in: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
    /// Left out if there are none: a list of scopes is never empty. RFC 6749 section 3.3.
    #[serde(skip_serializing_if = "String::is_empty")]
    scope: String,
}

impl Issued {
    /// What the client gets. It is the only place where tokens leave.
    pub(crate) fn into_answer(self, bridge: &Bridge) -> Result<Answer, OAuthError> {
        let Self { id, session, pair } = self;
        let inner = bridge.inner();
        let access_token = inner.access_tokens.mint(&Minted { id, session: &session, pair: &pair });
        let refresh_token = pair.refresh.map(|secret| secret.refresh_token(session.handle));
        let lifetime = pair.access_expires_at.saturating_duration_since(inner.clock.now());
        let body = TokenAnswer {
            access_token: access_token.expose_secret(),
            token_type: "Bearer",
            // Rounded down: a client never takes a token for better than it is.
            expires_in: lifetime.as_secs(),
            refresh_token: refresh_token.as_ref().map(SecretString::expose_secret),
            scope: pair.scopes.to_string(),
        };
        Ok(answer::json(StatusCode::OK, &body))
    }
}

/// The one resource that a request names, if it names any. [RFC 8707 section 2](https://www.rfc-editor.org/rfc/rfc8707#section-2)
///
/// # Errors
/// `invalid_target` if it names several: a token is never good in two places.
pub(super) fn resource(form: &Parameters) -> Result<Option<&str>, OAuthError> {
    let mut resources = form.resources();
    let first = resources.next();
    if resources.any(|other| Some(other) != first) {
        return Err(OAuthError::new(ErrorCode::InvalidTarget, "a token is for one resource"));
    }
    Ok(first)
}
