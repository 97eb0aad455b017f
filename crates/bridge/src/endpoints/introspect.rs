//! The introspection endpoint, for other resource servers.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode};
use portcullis_core::{BearerToken, Clock};
use serde::Serialize;
use serde_json::json;

use crate::{
    BridgeConfig, IntrospectionClient,
    access_tokens::AccessTokens,
    clients::BasicCredentials,
    extract::OAuthForm,
    limits::{Caller, RateLimits},
    oauth_error::{ErrorCode, OAuthError},
    response,
    session::{ActiveToken, Sessions, TokenStatus},
};

/// The description of an active token. [RFC 7662 section 2.2](https://www.rfc-editor.org/rfc/rfc7662#section-2.2)
#[derive(Serialize)]
struct ActiveResponse<'a> {
    active: bool,
    iss: &'a str,
    sub: String,
    aud: &'a str,
    client_id: &'a str,
    scope: String,
    iat: u64,
    exp: u64,
    token_type: &'static str,
}

/// `POST /introspect`. [RFC 7662 section 2](https://www.rfc-editor.org/rfc/rfc7662#section-2)
///
/// The response describes access tokens for the caller's resource. For any other token it does **not** reveal whether the token exists.
#[expect(clippy::too_many_arguments, reason = "extractors")]
pub(crate) async fn introspect(
    State(config): State<Arc<BridgeConfig>>,
    State(limits): State<RateLimits>,
    State(sessions): State<Sessions>,
    State(access_tokens): State<Arc<AccessTokens>>,
    State(clock): State<Arc<dyn Clock>>,
    caller: Caller,
    headers: HeaderMap,
    OAuthForm(form): OAuthForm,
) -> Result<Response, OAuthError> {
    let resource_server = authenticate(&config, &limits, &headers, &caller)?;
    let token = BearerToken::issued(form.required("token")?).ok();
    let Some((id, hash)) = token.and_then(|token| access_tokens.identify(&token, clock.now()).ok()) else {
        return Ok(inactive());
    };
    let TokenStatus::Active(active) = sessions.token_status(id, hash).await? else { return Ok(inactive()) };
    let ActiveToken { session, entry, .. } = *active;
    if session.resource != resource_server.resource {
        return Ok(inactive());
    }
    let description = ActiveResponse {
        active: true,
        iss: config.issuer.as_str(),
        sub: session.user.global_subject(),
        aud: session.resource.as_str(),
        client_id: &session.client_id,
        scope: entry.scopes.as_ref().unwrap_or(&session.scopes).to_string(),
        iat: entry.issued_at.as_secs(),
        exp: entry.expires_at.as_secs(),
        token_type: "Bearer",
    };
    Ok(response::json(StatusCode::OK, &description).into_response())
}

/// The response for invalid tokens and for tokens of other resources.
fn inactive() -> Response {
    response::json(StatusCode::OK, &json!({"active": false}))
}

fn authenticate<'a>(
    config: &'a BridgeConfig,
    limits: &RateLimits,
    headers: &HeaderMap,
    caller: &Caller,
) -> Result<&'a IntrospectionClient, OAuthError> {
    let rejected = || OAuthError::new(ErrorCode::InvalidClient, "client authentication failed").with_challenge();
    let BasicCredentials { id, secret } = BasicCredentials::from_headers(headers)?.ok_or_else(rejected)?;
    limits.check_authentication(&id, caller)?;
    let client = config.introspection_clients.iter().find(|client| client.authenticates(&id, &secret));
    client.ok_or_else(|| {
        limits.record_failed_authentication(&id, caller);
        rejected()
    })
}
