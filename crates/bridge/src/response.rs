//! [`OAuthError`], and responses with JSON bodies or redirects, with their cache headers; [`run_to_end`] computes them.

use std::{borrow::Cow, error::Error as _};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use portcullis_store::StoreError;
use serde::Serialize;
use serde_json::json;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

/// An error code of the specifications. Also a label of metrics and a field of the log.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum ErrorCode {
    // RFC 6749 sections 4.1.2.1 and 5.2.
    InvalidRequest,
    InvalidClient,
    InvalidGrant,
    UnauthorizedClient,
    UnsupportedGrantType,
    UnsupportedResponseType,
    InvalidScope,
    AccessDenied,
    ServerError,
    TemporarilyUnavailable,
    /// RFC 8707 section 2.
    InvalidTarget,
    /// RFC 7009 section 2.2.1.
    UnsupportedTokenType,
    // RFC 7591 section 3.2.2.
    InvalidRedirectUri,
    InvalidClientMetadata,
    /// RFC 6750 section 3.1.
    InvalidToken,
    /// OpenID Connect Core section 3.1.2.6.
    InteractionRequired,
    // RFC 9101 section 5.
    RequestNotSupported,
    RequestUriNotSupported,
}

impl ErrorCode {
    pub(crate) const ALL: [Self; 18] = [
        Self::InvalidRequest,
        Self::InvalidClient,
        Self::InvalidGrant,
        Self::UnauthorizedClient,
        Self::UnsupportedGrantType,
        Self::UnsupportedResponseType,
        Self::InvalidScope,
        Self::AccessDenied,
        Self::ServerError,
        Self::TemporarilyUnavailable,
        Self::InvalidTarget,
        Self::UnsupportedTokenType,
        Self::InvalidRedirectUri,
        Self::InvalidClientMetadata,
        Self::InvalidToken,
        Self::InteractionRequired,
        Self::RequestNotSupported,
        Self::RequestUriNotSupported,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::InvalidScope => "invalid_scope",
            Self::AccessDenied => "access_denied",
            Self::ServerError => "server_error",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::InvalidTarget => "invalid_target",
            Self::UnsupportedTokenType => "unsupported_token_type",
            Self::InvalidRedirectUri => "invalid_redirect_uri",
            Self::InvalidClientMetadata => "invalid_client_metadata",
            Self::InvalidToken => "invalid_token",
            Self::InteractionRequired => "interaction_required",
            Self::RequestNotSupported => "request_not_supported",
            Self::RequestUriNotSupported => "request_uri_not_supported",
        }
    }

    /// Returns the default status of a response with this code.
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::InvalidClient | Self::InvalidToken => StatusCode::UNAUTHORIZED,
            Self::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
            Self::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// An OAuth error response. The description reaches the client, so it never contains text of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct OAuthError {
    pub(crate) code: ErrorCode,
    pub(crate) description: Cow<'static, str>,
    status: StatusCode,
    retry_after: Option<u64>,
    challenge: bool,
    /// What the error page says instead of the usual next step.
    advice: Option<&'static str>,
    details: Option<Box<LogDetails>>,
}

/// What the log says about a rejected request, and the client does not learn.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
struct LogDetails {
    /// The step that failed, if it is another one than the request.
    step: Option<&'static str>,
    found: Option<String>,
    expected: Option<String>,
    /// The configuration keys to check.
    key: Option<&'static str>,
}

/// The step of a login that reads the response of the provider from the URL of the callback.
pub(crate) const AUTHORIZATION_RESPONSE: &str = "authorization_response";

/// The maximum length of a text of a request or of a provider in the log.
const MAX_LOGGED: usize = 300;

impl OAuthError {
    pub(crate) fn new(code: ErrorCode, description: impl Into<Cow<'static, str>>) -> Self {
        let retry_after = matches!(code, ErrorCode::TemporarilyUnavailable).then_some(5);
        let status = code.status();
        let description = description.into();
        Self { code, description, status, retry_after, challenge: false, advice: None, details: None }
    }

    /// Creates a response with status 429. RFC 6585 section 4.
    pub(crate) fn rate_limited(retry_after: u64) -> Self {
        let mut error = Self::new(ErrorCode::TemporarilyUnavailable, "too many requests");
        error.status = StatusCode::TOO_MANY_REQUESTS;
        error.retry_after = Some(retry_after);
        error
    }

    /// Creates a response with status 413. RFC 9110 section 15.5.14.
    pub(crate) fn too_large() -> Self {
        let mut error = Self::invalid_request("body too large");
        error.status = StatusCode::PAYLOAD_TOO_LARGE;
        error
    }

    /// Replaces the description, which the client learns. The status and the details for the log remain.
    pub(crate) fn with_description(self, description: &'static str) -> Self {
        Self { description: description.into(), advice: None, ..self }
    }

    /// Sets status 403. RFC 9110 section 15.5.4.
    pub(crate) const fn with_forbidden(mut self) -> Self {
        self.status = StatusCode::FORBIDDEN;
        self
    }

    /// Sets the next step on the error page.
    pub(crate) const fn with_advice(mut self, advice: &'static str) -> Self {
        self.advice = Some(advice);
        self
    }

    /// Adds a `WWW-Authenticate` challenge, for a client that used the `Authorization` header. RFC 6749 section 5.2.
    pub(crate) const fn with_challenge(mut self) -> Self {
        self.challenge = true;
        self
    }

    /// Sets what was found and what was expected instead, for the log. Neither may be a secret.
    pub(crate) fn with_found(mut self, found: &str, expected: &str) -> Self {
        let bounded = |text: &str| Some(text.chars().take(MAX_LOGGED).collect());
        let details = self.details.get_or_insert_default();
        (details.found, details.expected) = (bounded(found), bounded(expected));
        self
    }

    /// Sets the configuration keys that the operator may have to change, for the log.
    pub(crate) fn with_key(mut self, key: &'static str) -> Self {
        self.details.get_or_insert_default().key = Some(key);
        self
    }

    /// Sets the step of the login that failed, for the log.
    pub(crate) fn with_step(mut self, step: &'static str) -> Self {
        self.details.get_or_insert_default().step = Some(step);
        self
    }

    /// Logs a request of `step` that is rejected, as one line. Requests beyond a rate limit are logged where they are counted.
    pub(crate) fn log_rejected(&self, step: &'static str, client_id: Option<&str>) {
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            return;
        }
        let LogDetails { step: exact, found, expected, key } = self.details.as_deref().cloned().unwrap_or_default();
        let client_id: Option<String> = client_id.map(|id| id.chars().take(MAX_LOGGED).collect());
        let (step, error, description) = (exact.unwrap_or(step), self.code.as_str(), &*self.description);
        tracing::info!(step, client_id, error, description, found, expected, key, "client request rejected");
    }

    /// Logs a login of `client_id` at `provider` that failed after consent, as one line.
    ///
    /// The authorization response comes through the browser, which can change it: it is no evidence of an error of this server.
    pub(crate) fn log_failed_login(&self, provider: &str, client_id: &str) {
        let LogDetails { step, found, expected, key } = self.details.as_deref().cloned().unwrap_or_default();
        let (error, description) = (self.code.as_str(), &*self.description);
        match self.code {
            ErrorCode::AccessDenied => {
                tracing::info!(step, provider, client_id, error, description, found, expected, key, "login rejected");
            }
            _ if step == Some(AUTHORIZATION_RESPONSE) || self.code == ErrorCode::TemporarilyUnavailable => {
                tracing::warn!(step, provider, client_id, error, description, found, expected, key, "login failed");
            }
            _ => tracing::error!(step, provider, client_id, error, description, found, expected, key, "login failed"),
        }
    }

    pub(crate) fn invalid_request(description: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::InvalidRequest, description)
    }

    pub(crate) fn invalid_grant(description: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::InvalidGrant, description)
    }

    /// Returns the status of the response.
    pub(crate) const fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the next step for the error page, if it is not the usual one.
    pub(crate) const fn advice(&self) -> Option<&'static str> {
        self.advice
    }

    /// Returns the value of `Retry-After`, in seconds.
    pub(crate) const fn retry_after(&self) -> Option<u64> {
        self.retry_after
    }
}

/// A JSON response. RFC 6749 section 5.2.
impl IntoResponse for OAuthError {
    fn into_response(self) -> Response {
        let body = json!({"error": self.code.as_str(), "error_description": self.description});
        let mut response = json(self.status, &body);
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        if self.challenge {
            let challenge = HeaderValue::from_static("Basic realm=\"token endpoint\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// A failure of the store is temporary and not the client's fault.
impl From<StoreError> for OAuthError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, source = error.source(), "store unavailable");
        Self::new(ErrorCode::TemporarilyUnavailable, "store unavailable")
    }
}

/// Creates a JSON response that must not be stored. RFC 6749 section 5.1.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let body = serde_json::to_vec(body).expect("a response body is plain data");
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    set_no_store(response.headers_mut());
    response
}

/// Creates a JSON response that shared caches may store.
pub(crate) fn public_json(body: &impl Serialize, content_type: &'static str, cache_control: HeaderValue) -> Response {
    let mut response = json(StatusCode::OK, body);
    let headers = response.headers_mut();
    headers.remove(header::PRAGMA);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, cache_control);
    response
}

/// Creates a redirect of a browser with status 303, so that the browser does not repeat a form post
/// ([RFC 9700 section 4.12](https://www.rfc-editor.org/rfc/rfc9700#section-4.12)).
pub(crate) fn redirect(url: &str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let headers = response.headers_mut();
    if let Ok(mut location) = HeaderValue::try_from(url) {
        location.set_sensitive(true);
        headers.insert(header::LOCATION, location);
    }
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    set_no_store(headers);
    response
}

/// Forbids that any cache stores the response.
pub(crate) fn set_no_store(headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
}

/// Runs `work` to its end on one of `tasks`, also if the client disconnects. A shutdown waits for the tasks.
pub(crate) async fn run_to_end<T: Send + 'static>(
    tasks: &TaskTracker,
    work: impl Future<Output = Result<T, OAuthError>> + Send + 'static,
) -> Result<T, OAuthError> {
    tasks.spawn(work.in_current_span()).await.unwrap_or_else(|error| {
        tracing::error!(%error, "request task panicked");
        Err(OAuthError::new(ErrorCode::ServerError, "internal error"))
    })
}
