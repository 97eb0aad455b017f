//! Revocation: a client logs its user out.

use axum::extract::{Request, State};
use http::{StatusCode, request::Parts};
use portcullis_core::{BearerToken, GrantId};

use super::{client::authenticated, detached, form};
use crate::{
    Bridge, Client,
    answer::{self, Answer},
    oauth_error::OAuthError,
    parameters::Parameters,
    session::{End, Handle, Kind, Presented, Session},
};

/// `POST /revoke`. [RFC 7009 section 2](https://www.rfc-editor.org/rfc/rfc7009#section-2)
///
/// Whichever token it is, the whole session ends, at the provider too. What `token_type_hint` says makes no difference: tokens show
/// what they are.
pub(crate) async fn revoke(State(bridge): State<Bridge>, request: Request) -> Answer {
    let answer = async {
        let (head, form) = form(request).await?;
        detached(&bridge.clone(), async move { end(&bridge, &head, &form).await }).await
    };
    answer.await.unwrap_or_else(OAuthError::into_answer)
}

async fn end(bridge: &Bridge, head: &Parts, form: &Parameters) -> Result<Answer, OAuthError> {
    let inner = bridge.inner();
    let client = authenticated(bridge, head, form).await?;
    if let Some(id) = session_of(bridge, &client, form.required("token")?).await? {
        inner.sessions.end(id, End::Revoked).await?;
    }
    // A token that does not work does not work: that was the purpose. RFC 7009 section 2.2.
    Ok(answer::json(StatusCode::OK, &serde_json::json!({})))
}

/// The session of the token `text`, if that is a token of this client's.
///
/// An access token must still work. A refresh token may be an old one: whoever has it could end the session by using it.
async fn session_of(bridge: &Bridge, client: &Client, text: &str) -> Result<Option<GrantId>, OAuthError> {
    let inner = bridge.inner();
    let now = inner.clock.now();
    let refresh = Presented::<Handle>::parse(Kind::RefreshToken, text).map(|presented| presented.of.session());
    let access = || inner.access_tokens.identify(&BearerToken::issued(text).ok()?, now).ok();
    let (id, hash) = match refresh {
        Some(id) => (id, None),
        None => match access() {
            Some((id, hash)) => (id, Some(hash)),
            None => return Ok(None),
        },
    };
    let works =
        |session: &Session| hash.is_none_or(|hash| session.live().is_some_and(|live| live.access(hash, now).is_some()));
    match inner.sessions.load(id).await?.filter(works) {
        None => Ok(None),
        Some(session) if *session.client_id == *client.id() => Ok(Some(id)),
        Some(_) => Err(OAuthError::invalid_grant("the token was issued to another client")),
    }
}
