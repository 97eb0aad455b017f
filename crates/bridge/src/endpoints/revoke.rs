//! The revocation endpoint.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use http::{HeaderMap, StatusCode};
use portcullis_core::{BearerToken, Clock, GrantId};

use crate::{
    Client,
    access_tokens::AccessTokens,
    clients::Clients,
    extract::OAuthForm,
    limits::Caller,
    oauth_error::OAuthError,
    response,
    session::{EndReason, ParsedToken, SecretHash, Session, Sessions, TokenStatus},
    state::BackgroundTasks,
};

/// `POST /revoke`. [RFC 7009 section 2](https://www.rfc-editor.org/rfc/rfc7009#section-2)
///
/// A refresh token ends the whole session, at the provider too. So does an access token of a client that has authenticated. An access token
/// of a public client is revoked alone, because any party that has seen it, such as a resource server, can send this request.
/// `token_type_hint` is ignored, because tokens show their type.
#[expect(clippy::too_many_arguments, reason = "extractors")]
pub(crate) async fn revoke(
    State(clients): State<Arc<Clients>>,
    State(sessions): State<Sessions>,
    State(access_tokens): State<Arc<AccessTokens>>,
    State(clock): State<Arc<dyn Clock>>,
    State(background): State<BackgroundTasks>,
    caller: Caller,
    headers: HeaderMap,
    OAuthForm(form): OAuthForm,
) -> Result<Response, OAuthError> {
    let work = async move {
        let client = clients.authenticate(&headers, &form, &caller).await?;
        match Token::parse(form.required("token")?, &access_tokens, &*clock) {
            Some(Token::Refresh(id)) => {
                let session = sessions.load(id).await?;
                if is_own(session.as_ref(), &client)? {
                    sessions.end(id, EndReason::Revoked).await?;
                }
            }
            Some(Token::Access(id, hash)) => {
                let active = match sessions.token_status(id, hash).await? {
                    TokenStatus::Active(active) => Some(active),
                    TokenStatus::GrantEnded | TokenStatus::Inactive => None,
                };
                if is_own(active.as_ref().map(|active| &active.session), &client)? {
                    revoke_access_token(&sessions, &client, id, hash).await?;
                }
            }
            None => {}
        }
        // An invalid token is no error. RFC 7009 section 2.2.
        Ok(response::json(StatusCode::OK, &serde_json::json!({})))
    };
    background.run(work).await
}

/// A token of this bridge, by its form.
enum Token {
    /// It may be an old one: its use would end the session as well.
    Refresh(GrantId),
    Access(GrantId, SecretHash),
}

impl Token {
    fn parse(text: &str, access_tokens: &AccessTokens, clock: &dyn Clock) -> Option<Self> {
        if let Some(token) = ParsedToken::refresh_token(text) {
            return Some(Self::Refresh(token.of.session()));
        }
        let identified = access_tokens.identify(&BearerToken::issued(text).ok()?, clock.now()).ok();
        identified.map(|(id, hash)| Self::Access(id, hash))
    }
}

/// Reports whether there is a session of this client. RFC 7009 section 2.1.
fn is_own(session: Option<&Session>, client: &Client) -> Result<bool, OAuthError> {
    match session {
        None => Ok(false),
        Some(session) if *session.client_id == *client.id() => Ok(true),
        Some(_) => Err(OAuthError::invalid_grant("token was issued to another client")),
    }
}

async fn revoke_access_token(
    sessions: &Sessions,
    client: &Client,
    id: GrantId,
    hash: SecretHash,
) -> Result<(), OAuthError> {
    if client.is_public() {
        sessions.revoke_access_token(id, hash).await?;
    } else {
        sessions.end(id, EndReason::Revoked).await?;
    }
    Ok(())
}
