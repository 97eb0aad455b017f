//! The token endpoint: a code, a refresh token or an assertion becomes tokens.

use axum::extract::{Request, State};
use http::HeaderMap;

use super::{detached, form};
use crate::{
    Bridge, GrantType,
    answer::Answer,
    grants::{authorization_code, jwt_bearer, refresh_token},
    oauth_error::{ErrorCode, OAuthError},
    parameters::Parameters,
};

/// `POST /token`. [RFC 6749 section 3.2](https://www.rfc-editor.org/rfc/rfc6749#section-3.2)
pub(crate) async fn token(State(bridge): State<Bridge>, request: Request) -> Answer {
    let answer = async {
        let (head, form) = form(request).await?;
        // What is issued is issued to the end: of a rotation that stops half way nobody would know.
        detached(async move { issue(&bridge, &head.headers, &form).await }).await
    };
    answer.await.unwrap_or_else(OAuthError::into_answer)
}

async fn issue(bridge: &Bridge, headers: &HeaderMap, form: &Parameters) -> Result<Answer, OAuthError> {
    let inner = bridge.inner();
    let client = inner.clients.authenticate(headers, form).await?;
    let grant_type = grant_type(form.required("grant_type")?)?;
    if !client.grant_types.contains(&grant_type) {
        return Err(OAuthError::new(ErrorCode::UnauthorizedClient, "the client is not registered for this grant type"));
    }
    let issued = match grant_type {
        GrantType::AuthorizationCode => authorization_code::redeem(bridge, &client, form).await?,
        GrantType::RefreshToken => refresh_token::rotate(bridge, &client, form).await?,
        GrantType::JwtBearer if inner.config.trusted_issuers.is_empty() => return Err(unsupported()),
        GrantType::JwtBearer => jwt_bearer::redeem(bridge, &client, form).await?,
    };
    // The tokens are issued: that it cannot be noted is no reason to keep them back.
    if let Err(error) = inner.clients.used(&client).await {
        tracing::warn!(error = error.code.as_str(), "the use of a client's registration could not be noted");
    }
    issued.into_answer(bridge)
}

fn grant_type(text: &str) -> Result<GrantType, OAuthError> {
    match text {
        "authorization_code" => Ok(GrantType::AuthorizationCode),
        "refresh_token" => Ok(GrantType::RefreshToken),
        "urn:ietf:params:oauth:grant-type:jwt-bearer" => Ok(GrantType::JwtBearer),
        _ => Err(unsupported()),
    }
}

fn unsupported() -> OAuthError {
    OAuthError::new(ErrorCode::UnsupportedGrantType, "this grant type is not supported")
}
