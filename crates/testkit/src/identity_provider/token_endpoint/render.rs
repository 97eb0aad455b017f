//! What the token endpoint says.

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, WWW_AUTHENTICATE},
};
use serde_json::json;

use super::{
    super::{grants::GrantedTokens, respond::ok},
    Refusal,
};

/// [RFC 6749 section 5.1](https://www.rfc-editor.org/rfc/rfc6749#section-5.1).
pub(super) fn granted(tokens: &GrantedTokens) -> Response<Bytes> {
    let mut body = json!({
        "access_token": tokens.access_token,
        "token_type": "Bearer",
        "scope": tokens.scope,
    });
    if let Some(lifetime) = tokens.expires_in {
        body["expires_in"] = lifetime.as_secs().into();
    }
    if let Some(refresh_token) = &tokens.refresh_token {
        body["refresh_token"] = refresh_token.as_str().into();
    }
    if let Some(lifetime) = tokens.refresh_expires_in {
        body["refresh_expires_in"] = lifetime.as_secs().into();
    }
    unstored(ok(&body))
}

/// [RFC 6749 section 5.2](https://www.rfc-editor.org/rfc/rfc6749#section-5.2).
pub(super) fn refused(refusal: Refusal) -> Response<Bytes> {
    let body = json!({"error": refusal.error(), "error_description": refusal.description()});
    let mut response = unstored(ok(&body));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    if refusal == Refusal::InvalidClient {
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"idp\""));
    }
    response
}

fn unstored(mut response: Response<Bytes>) -> Response<Bytes> {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
