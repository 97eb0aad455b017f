//! Introspection: what a token is, for resource servers elsewhere.

use axum::extract::{Request, State};
use http::{StatusCode, request::Parts};
use portcullis_core::BearerToken;
use serde::Serialize;
use serde_json::json;

use super::form;
use crate::{
    Bridge, IntrospectionClient,
    answer::{self, Answer},
    clients::BasicCredentials,
    inner::Inner,
    oauth_error::{ErrorCode, OAuthError},
    session::{Good, TokenStatus},
};

/// What a token is that works. [RFC 7662 section 2.2](https://www.rfc-editor.org/rfc/rfc7662#section-2.2)
#[derive(Serialize)]
struct ActiveToken<'a> {
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
/// A resource server is told about access tokens for its resource, and of nothing else that there is such a thing.
pub(crate) async fn introspect(State(bridge): State<Bridge>, request: Request) -> Answer {
    look_up(&bridge, request).await.unwrap_or_else(OAuthError::into_answer)
}

async fn look_up(bridge: &Bridge, request: Request) -> Result<Answer, OAuthError> {
    let (head, form) = form(request).await?;
    let inner = bridge.inner();
    let resource_server = authenticate(inner, &head)?;
    let token = form.required("token")?;
    let now = inner.clock.now();
    let Some((id, hash)) =
        BearerToken::issued(token).ok().and_then(|token| inner.access_tokens.identify(&token, now).ok())
    else {
        return Ok(inactive());
    };
    let TokenStatus::Active(good) = inner.sessions.token_status(id, hash).await? else { return Ok(inactive()) };
    let Good { session, entry, .. } = *good;
    if session.resource != resource_server.resource {
        return Ok(inactive());
    }
    let token = ActiveToken {
        active: true,
        iss: inner.config.issuer.as_str(),
        sub: session.user.global_subject(),
        aud: session.resource.as_str(),
        client_id: &session.client_id,
        scope: entry.scopes.as_ref().unwrap_or(&session.scopes).to_string(),
        iat: entry.issued_at.as_secs(),
        exp: entry.expires_at.as_secs(),
        token_type: "Bearer",
    };
    Ok(answer::json(StatusCode::OK, &token))
}

/// All there is to say of a token that does not work, or is none of the asker's business.
fn inactive() -> Answer {
    answer::json(StatusCode::OK, &json!({"active": false}))
}

fn authenticate<'a>(inner: &'a Inner, head: &Parts) -> Result<&'a IntrospectionClient, OAuthError> {
    let refused = || OAuthError::new(ErrorCode::InvalidClient, "only known resource servers may ask").with_challenge();
    let BasicCredentials { id, secret } = BasicCredentials::from_headers(&head.headers)?.ok_or_else(refused)?;
    let caller = inner.limits.caller(&head.headers, &head.extensions);
    inner.limits.check_authentication(&id, &caller)?;
    let found = inner.config.introspection_clients.iter().find(|known| known.is(&id, &secret));
    found.ok_or_else(|| {
        inner.limits.record_failed_authentication(&id, &caller);
        refused()
    })
}
