//! Registration: a client makes itself known.

use axum::extract::{Request, State};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::{is_of_type, read};
use crate::{
    Bridge,
    answer::{self, Answer},
    inner::Inner,
    oauth_error::OAuthError,
};

/// More than any client has to say.
const MAX_BODY: usize = 16 * 1024;

/// Whose wrong initial access tokens are counted: no client, for there is none yet.
const INITIAL_ACCESS: &str = "";

/// `POST /register`. [RFC 7591 section 3](https://www.rfc-editor.org/rfc/rfc7591#section-3)
pub(crate) async fn register(State(bridge): State<Bridge>, request: Request) -> Answer {
    let Inner { clients, limits, telemetry, .. } = bridge.inner();
    let caller = limits.caller(request.headers(), request.extensions());
    if let Err(error) = limits.check_authentication(INITIAL_ACCESS, &caller) {
        return error.into_answer();
    }
    if !clients.accepts_initial_access_token(bearer(request.headers())) {
        limits.record_failed_authentication(INITIAL_ACCESS, &caller);
        return unauthorized();
    }
    let registered = async {
        limits.acquire_registration(&caller)?;
        if !is_of_type(request.headers(), "application/json") {
            return Err(OAuthError::invalid_request("the body must be application/json"));
        }
        let (_, body) = read(request, MAX_BODY).await?;
        clients.register(&body).await
    };
    let registered = registered.await;
    telemetry.registration(registered.as_ref().err().map(|error| error.code));
    registered.map_or_else(OAuthError::into_answer, axum::response::IntoResponse::into_response)
}

/// What only some may do. [RFC 6750 section 3](https://www.rfc-editor.org/rfc/rfc6750#section-3)
fn unauthorized() -> Answer {
    let body = serde_json::json!({"error": "invalid_token", "error_description": "an initial access token is needed"});
    let mut answer = answer::json(StatusCode::UNAUTHORIZED, &body);
    let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
    answer.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    answer
}

/// The one bearer token of the header `Authorization`.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then(|| token.trim())
}
