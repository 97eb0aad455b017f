//! Revocation: a client logs its user out.

use axum::extract::{Request, State};
use http::{StatusCode, request::Parts};
use portcullis_core::{BearerToken, GrantId};

use super::{detached, form};
use crate::{
    Bridge, Client,
    answer::{self, Answer},
    oauth_error::OAuthError,
    parameters::Parameters,
    session::{EndReason, ParsedToken, SecretHash, Session, TokenStatus},
};

/// `POST /revoke`. [RFC 7009 section 2](https://www.rfc-editor.org/rfc/rfc7009#section-2)
///
/// With a refresh token the whole session ends, at the provider too. With an access token it does only for a client that has proved who
/// it is: from a public one anybody may have come who has seen the token, such as a resource server, and so the token alone is taken back.
/// What `token_type_hint` says makes no difference: tokens show what they are.
pub(crate) async fn revoke(State(bridge): State<Bridge>, request: Request) -> Answer {
    let answer = async {
        let (head, form) = form(request).await?;
        detached(&bridge.clone(), async move { end(&bridge, &head, &form).await }).await
    };
    answer.await.unwrap_or_else(OAuthError::into_answer)
}

async fn end(bridge: &Bridge, head: &Parts, form: &Parameters) -> Result<Answer, OAuthError> {
    let sessions = &bridge.inner().sessions;
    let client = bridge.inner().authenticate(head, form).await?;
    match token(bridge, form.required("token")?) {
        Some(Token::Refresh(id)) => {
            let session = sessions.load(id).await?;
            if own(session.as_ref(), &client)? {
                sessions.end(id, EndReason::Revoked).await?;
            }
        }
        Some(Token::Access(id, hash)) => {
            let good =
                if let TokenStatus::Active(good) = sessions.token_status(id, hash).await? { Some(good) } else { None };
            if own(good.as_ref().map(|good| &good.session), &client)? {
                revoke_access_token(bridge, &client, id, hash).await?;
            }
        }
        None => {}
    }
    // A token that does not work does not work: that was the purpose. RFC 7009 section 2.2.
    Ok(answer::json(StatusCode::OK, &serde_json::json!({})))
}

/// A token of this bridge's, by its form.
enum Token {
    /// It may be an old one: whoever has it could end the session by using it.
    Refresh(GrantId),
    Access(GrantId, SecretHash),
}

fn token(bridge: &Bridge, text: &str) -> Option<Token> {
    if let Some(presented) = ParsedToken::refresh_token(text) {
        return Some(Token::Refresh(presented.of.session()));
    }
    let inner = bridge.inner();
    let identified = inner.access_tokens.identify(&BearerToken::issued(text).ok()?, inner.clock.now()).ok();
    identified.map(|(id, hash)| Token::Access(id, hash))
}

/// Whether there is a session, of this client's. RFC 7009 section 2.1.
fn own(session: Option<&Session>, client: &Client) -> Result<bool, OAuthError> {
    match session {
        None => Ok(false),
        Some(session) if *session.client_id == *client.id() => Ok(true),
        Some(_) => Err(OAuthError::invalid_grant("the token was issued to another client")),
    }
}

async fn revoke_access_token(
    bridge: &Bridge,
    client: &Client,
    id: GrantId,
    hash: SecretHash,
) -> Result<(), OAuthError> {
    let sessions = &bridge.inner().sessions;
    if client.is_public() {
        sessions.take_back(id, hash).await?;
    } else {
        sessions.end(id, EndReason::Revoked).await?;
    }
    Ok(())
}
