//! [`OAuthError`]: a refusal as OAuth words it.

use std::borrow::Cow;

use http::{HeaderValue, StatusCode, header};
use portcullis_grants::StoreError;
use serde_json::json;

use crate::answer;

/// What is wrong, in the closed vocabulary of the specifications. Also a label of metrics and a field of the log.
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
    /// OpenID Connect Core section 3.1.2.6.
    InteractionRequired,
    // RFC 9101 section 5.
    RequestNotSupported,
    RequestUriNotSupported,
}

impl ErrorCode {
    pub(crate) const ALL: [Self; 17] = [
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
            Self::InteractionRequired => "interaction_required",
            Self::RequestNotSupported => "request_not_supported",
            Self::RequestUriNotSupported => "request_uri_not_supported",
        }
    }

    /// The status of a JSON answer with this code.
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::InvalidClient => StatusCode::UNAUTHORIZED,
            Self::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
            Self::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// A refusal as OAuth words it. What it says reaches the client: it is made of our own words, never of a request's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct OAuthError {
    pub(crate) code: ErrorCode,
    pub(crate) description: Cow<'static, str>,
    status: StatusCode,
    retry_after: Option<u64>,
    challenge: bool,
}

impl OAuthError {
    pub(crate) fn new(code: ErrorCode, description: impl Into<Cow<'static, str>>) -> Self {
        let retry_after = matches!(code, ErrorCode::TemporarilyUnavailable).then_some(5);
        Self { code, description: description.into(), status: code.status(), retry_after, challenge: false }
    }

    /// Too often: to be tried again in so many seconds. RFC 6585 section 4.
    pub(crate) fn rate_limited(retry_after: u64) -> Self {
        let mut error = Self::new(ErrorCode::TemporarilyUnavailable, "too many requests");
        error.status = StatusCode::TOO_MANY_REQUESTS;
        error.retry_after = Some(retry_after);
        error
    }

    /// A body that is longer than what is read. RFC 9110 section 15.5.14.
    pub(crate) fn too_large() -> Self {
        let mut error = Self::invalid_request("the body is too large");
        error.status = StatusCode::PAYLOAD_TOO_LARGE;
        error
    }

    /// A request that is not listened to, whatever it says. RFC 9110 section 15.5.4.
    pub(crate) const fn forbidden(mut self) -> Self {
        self.status = StatusCode::FORBIDDEN;
        self
    }

    /// The client tried to authenticate by the header: it is challenged. RFC 6749 section 5.2.
    pub(crate) const fn with_challenge(mut self) -> Self {
        self.challenge = true;
        self
    }

    pub(crate) fn invalid_request(description: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::InvalidRequest, description)
    }

    pub(crate) fn invalid_grant(description: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::InvalidGrant, description)
    }

    /// The status of a JSON answer.
    pub(crate) const fn status(&self) -> StatusCode {
        self.status
    }

    /// After how many seconds it may be tried again, if that is known.
    pub(crate) const fn retry_after(&self) -> Option<u64> {
        self.retry_after
    }

    /// A JSON answer. RFC 6749 section 5.2.
    pub(crate) fn into_answer(self) -> answer::Answer {
        let body = json!({"error": self.code.as_str(), "error_description": self.description});
        let mut answer = answer::json(self.status, &body);
        if let Some(seconds) = self.retry_after {
            answer.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        if self.challenge {
            let challenge = HeaderValue::from_static("Basic realm=\"token endpoint\"");
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        answer
    }
}

/// A store that fails is nobody's fault but ours, and passes.
impl From<StoreError> for OAuthError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, source = std::error::Error::source(&error), "the bridge cannot reach its store");
        Self::new(ErrorCode::TemporarilyUnavailable, "the server cannot reach its store")
    }
}
