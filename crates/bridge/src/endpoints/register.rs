//! The registration endpoint.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, header};

use crate::{
    clients::{Clients, RegisteredClient},
    limits::{Caller, RateLimits},
    parameters::{has_content_type, read_body},
    response::{ErrorCode, OAuthError},
    telemetry::Telemetry,
};

/// The maximum size of a registration request.
const MAX_BODY: usize = 16 * 1024;

/// The name of the request in the log.
const STEP: &str = "register";

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
        limits.record_failed_authentication(INITIAL_ACCESS, &caller);
        let error = OAuthError::new(ErrorCode::InvalidToken, "a valid initial access token is required")
            .with_found(if token.is_some() { "another token" } else { "no token" }, "the initial access token")
            .with_key("bridge.registration.initial_access_token");
        error.log_rejected(STEP, None);
        telemetry.registration(Some(error.code));
        return Ok(with_bearer_challenge(error.into_response()));
    }
    let registered = read_and_register(&clients, &limits, &caller, request).await;
    telemetry.registration(registered.as_ref().err().map(|error| error.code));
    let registered = registered.inspect_err(|error| error.log_rejected(STEP, None));
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
        let found = request.headers().get(header::CONTENT_TYPE).map(|found| format!("{found:?}"));
        let error = OAuthError::invalid_request("Content-Type must be application/json");
        return Err(error.with_found(found.as_deref().unwrap_or("none"), "application/json"));
    }
    clients.register(&read_body(request, MAX_BODY).await?).await
}

/// Adds the challenge for a missing or wrong initial access token. [RFC 6750 section 3](https://www.rfc-editor.org/rfc/rfc6750#section-3)
fn with_bearer_challenge(mut response: Response) -> Response {
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
