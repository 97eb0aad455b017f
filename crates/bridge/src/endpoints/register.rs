//! The registration endpoint.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::{
    clients::{Clients, RegisteredClient},
    limits::{Caller, RateLimits},
    parameters::{has_content_type, read_body},
    response::{self, OAuthError},
    telemetry::Telemetry,
};

/// The maximum size of a registration request.
const MAX_BODY: usize = 16 * 1024;

/// The client id under which wrong initial access tokens are counted.
const INITIAL_ACCESS: &str = "";

/// `POST /register`. [RFC 7591 section 3](https://www.rfc-editor.org/rfc/rfc7591#section-3)
pub(crate) async fn register(
    State(clients): State<Arc<Clients>>,
    State(limits): State<RateLimits>,
    State(telemetry): State<Arc<Telemetry>>,
    caller: Caller,
    request: Request,
) -> Result<Response, OAuthError> {
    limits.check_authentication(INITIAL_ACCESS, &caller)?;
    let token = bearer(request.headers());
    if !clients.accepts_initial_access_token(token) {
        let (found, expected) =
            (if token.is_some() { "another token" } else { "no token" }, "the initial access token");
        tracing::info!(found, expected, key = "bridge.registration.initial_access_token", "registration rejected");
        limits.record_failed_authentication(INITIAL_ACCESS, &caller);
        return Ok(unauthorized());
    }
    let registered = read_and_register(&clients, &limits, &caller, request).await;
    telemetry.registration(registered.as_ref().err().map(|error| error.code));
    registered.map(IntoResponse::into_response)
}

async fn read_and_register(
    clients: &Clients,
    limits: &RateLimits,
    caller: &Caller,
    request: Request,
) -> Result<RegisteredClient, OAuthError> {
    limits.acquire_registration(caller)?;
    if !has_content_type(request.headers(), "application/json") {
        let found = request.headers().get(header::CONTENT_TYPE);
        tracing::info!(member = "Content-Type", ?found, expected = "application/json", "registration rejected");
        return Err(OAuthError::invalid_request("Content-Type must be application/json"));
    }
    clients.register(&read_body(request, MAX_BODY).await?).await
}

/// Creates the response to a missing or wrong initial access token. [RFC 6750 section 3](https://www.rfc-editor.org/rfc/rfc6750#section-3)
fn unauthorized() -> Response {
    let description = "a valid initial access token is required";
    let body = serde_json::json!({"error": "invalid_token", "error_description": description});
    let mut response = response::json(StatusCode::UNAUTHORIZED, &body);
    let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    response
}

/// Returns the bearer token of the `Authorization` header, unless the header is repeated.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then(|| token.trim())
}
