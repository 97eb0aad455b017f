//! The token endpoint: a code, a refresh token or an assertion becomes tokens.

use axum::extract::{Request, State};
use http::request::Parts;

use super::{detached, form};
use crate::{
    Bridge, Client, GrantType,
    answer::Answer,
    grants::{Issued, authorization_code, jwt_bearer, refresh_token},
    limits::Caller,
    oauth_error::{ErrorCode, OAuthError},
    parameters::Parameters,
};

/// `POST /token`. [RFC 6749 section 3.2](https://www.rfc-editor.org/rfc/rfc6749#section-3.2)
pub(crate) async fn token(State(bridge): State<Bridge>, request: Request) -> Answer {
    let answer = async {
        let (head, form) = form(request).await?;
        // What is issued is issued to the end: of a rotation that stops half way nobody would know.
        detached(&bridge.clone(), async move {
            let answer = issue(&bridge, &head, &form).await;
            let grant_type = form.optional("grant_type").and_then(GrantType::parse);
            bridge.inner().telemetry.tokens(grant_type, answer.as_ref().err().map(|error| error.code));
            answer
        })
        .await
    };
    answer.await.unwrap_or_else(OAuthError::into_answer)
}

async fn issue(bridge: &Bridge, head: &Parts, form: &Parameters) -> Result<Answer, OAuthError> {
    let inner = bridge.inner();
    let client = bridge.inner().authenticate(head, form).await?;
    let grant_type = GrantType::parse(form.required("grant_type")?).ok_or_else(unsupported)?;
    if !client.grant_types.contains(&grant_type) {
        return Err(OAuthError::new(ErrorCode::UnauthorizedClient, "the client is not registered for this grant type"));
    }
    let caller = inner.limits.caller(&head.headers, &head.extensions);
    inner.limits.check_grant(client.id(), &caller)?;
    let issued = redeem(bridge, &client, grant_type, form, &caller).await.inspect_err(|error| {
        if error.code == ErrorCode::InvalidGrant {
            inner.limits.record_invalid_grant(client.id(), &caller);
        }
    })?;
    // The tokens are issued: that it cannot be noted is no reason to keep them back.
    if let Err(error) = inner.clients.record_use(&client, &issued.session, grant_type != GrantType::RefreshToken).await
    {
        tracing::warn!(error = error.code.as_str(), "the use of a client's registration could not be noted");
    }
    issued.into_answer(bridge)
}

/// What is presented becomes tokens.
async fn redeem(
    bridge: &Bridge,
    client: &Client,
    by: GrantType,
    form: &Parameters,
    caller: &Caller,
) -> Result<Issued, OAuthError> {
    match by {
        GrantType::AuthorizationCode => authorization_code::redeem(bridge, client, form).await,
        GrantType::RefreshToken => refresh_token::rotate(bridge, client, form, caller).await,
        GrantType::JwtBearer if bridge.inner().config.trusted_issuers.is_empty() => Err(unsupported()),
        GrantType::JwtBearer => jwt_bearer::redeem(bridge, client, form).await,
    }
}

fn unsupported() -> OAuthError {
    OAuthError::new(ErrorCode::UnsupportedGrantType, "this grant type is not supported")
}
