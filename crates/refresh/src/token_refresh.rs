//! [`TokenRefresh`]: the service that presents a refresh token and returns new tokens.

use std::{error::Error, fmt, sync::Arc, time::Duration};

use http::StatusCode;
use portcullis_core::{AuthError, GrantId, Reason};
use portcullis_egress::EgressErrorKind;
use portcullis_oauth::{ProtocolError, TokenResponse};
use portcullis_remote::CallError;
use tokio::time::Instant;
use tower_service::Service;

use crate::TokenSet;

/// A tower service that spends a refresh token: from the current tokens to the provider's response. An alias, which every such
/// service implements.
///
/// It is called once per generation, and again only if the request was not sent, the provider failed, or no answer came.
/// **Do not put a retry around it**: a request that was sent may have spent the token, whatever the response was. A concurrency
/// limit around it is safe: while a caller waits for it, the request has not been sent. A time limit is safe if its error is
/// [`RefreshError::ambiguous`].
pub trait TokenRefresh: Service<Arc<TokenSet>, Response = TokenResponse, Error = RefreshError> {}

impl<E> TokenRefresh for E where E: Service<Arc<TokenSet>, Response = TokenResponse, Error = RefreshError> + ?Sized {}

/// A request for tokens that presents no refresh token: for grant types that need no user, such as client credentials.
///
/// The service that answers it states the granted scopes in its response, if the response of the server does not.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Acquisition {
    /// The grant.
    pub grant: GrantId,
    /// The tokens that are to be replaced, if there are any. Their refresh token was refused, or there is none.
    pub current: Option<Arc<TokenSet>>,
}

/// The error of a token refresh: why there are no new tokens, and what became of the refresh token.
#[derive(Clone)]
pub struct RefreshError {
    kind: RefreshErrorKind,
    cause: AuthError,
    accepted_at: Option<Instant>,
}

/// The category of a [`RefreshError`]: what became of the refresh token.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum RefreshErrorKind {
    /// The provider states that the refresh token is invalid. It is never presented again.
    Refused,
    /// The provider failed, or limits the rate of requests. The token is assumed not to be spent.
    Transient,
    /// The request was not sent. The token is not spent.
    NotSent,
    /// The request may have been sent, and no answer came. The token may be spent.
    Ambiguous,
    /// The provider refuses the credentials of this server, or its request. The token is not spent.
    Misconfigured,
    /// The provider refuses, and does not state whether the token or this server is at fault. The token is not spent. Whether it is
    /// dead is decided from the evidence: see [`RefreshError::with_accepted_at`].
    Unexplained,
}

impl RefreshErrorKind {
    /// Returns the name of the category, as a metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Transient => "transient",
            Self::NotSent => "not_sent",
            Self::Ambiguous => "ambiguous",
            Self::Misconfigured => "misconfigured",
            Self::Unexplained => "unexplained",
        }
    }
}

impl RefreshError {
    /// Creates the error of a refresh token that the provider states to be invalid.
    pub fn refused(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::of(RefreshErrorKind::Refused, AuthError::new(Reason::GrantEnded).with_source(source))
    }

    /// Creates the error of a provider that failed or limits the rate; `cause` is an `Unavailable`, with the time to wait if the
    /// provider stated one.
    #[must_use]
    pub const fn transient(cause: AuthError) -> Self {
        Self::of(RefreshErrorKind::Transient, cause)
    }

    /// Creates the error of a request that was not sent.
    #[must_use]
    pub const fn not_sent(cause: AuthError) -> Self {
        Self::of(RefreshErrorKind::NotSent, cause)
    }

    /// Creates the error of a request that may have been sent and has no usable response.
    #[must_use]
    pub const fn ambiguous(cause: AuthError) -> Self {
        Self::of(RefreshErrorKind::Ambiguous, cause)
    }

    /// Creates the error of a provider that refuses the credentials of this server, or its request.
    #[must_use]
    pub const fn misconfigured(cause: AuthError) -> Self {
        Self::of(RefreshErrorKind::Misconfigured, cause)
    }

    /// Creates the error of a provider that refuses and does not state whether the refresh token or this server is at fault; `cause`
    /// is an `Unavailable`.
    #[must_use]
    pub const fn unexplained(cause: AuthError) -> Self {
        Self::of(RefreshErrorKind::Unexplained, cause)
    }

    /// Sets when the token endpoint had last accepted the credentials of this server before the refused request was sent. Default:
    /// unknown; then an [unexplained](RefreshErrorKind::Unexplained) refusal never ends a grant.
    #[must_use]
    pub const fn with_accepted_at(mut self, accepted_at: Option<Instant>) -> Self {
        self.accepted_at = accepted_at;
        self
    }

    const fn of(kind: RefreshErrorKind, cause: AuthError) -> Self {
        Self { kind, cause, accepted_at: None }
    }

    pub(crate) const fn accepted_at(&self) -> Option<Instant> {
        self.accepted_at
    }

    /// Returns the category.
    #[must_use]
    pub const fn kind(&self) -> RefreshErrorKind {
        self.kind
    }

    /// Returns the error for the callers that wait for the new token.
    #[must_use]
    pub const fn cause(&self) -> &AuthError {
        &self.cause
    }

    /// Returns the time for which the provider asks not to be called.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.cause.retry_after()
    }
}

/// The error that a request is rejected with.
impl From<RefreshError> for AuthError {
    fn from(error: RefreshError) -> Self {
        error.cause
    }
}

/// What the outcome of a token request means for the credential that was presented.
impl From<CallError> for RefreshError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::ClientRejected(refusal) => Self::not_sent(refusal),
            CallError::Egress(error) => {
                let outcome = match error.kind() {
                    _ if error.status().is_some_and(is_from_gateway) => Self::ambiguous,
                    EgressErrorKind::Blocked
                    | EgressErrorKind::Connect
                    | EgressErrorKind::BackingOff
                    | EgressErrorKind::ClientRefused
                    | EgressErrorKind::SourceLimited => Self::not_sent,
                    // From the circuit breaker, not from the provider.
                    EgressErrorKind::RateLimited if error.status().is_none() => Self::not_sent,
                    EgressErrorKind::RateLimited | EgressErrorKind::ServerError => Self::transient,
                    // Time-outs, broken connections, unread responses: the provider may have processed the request.
                    _ => Self::ambiguous,
                };
                outcome(error.into())
            }
            CallError::Protocol(error) => match &error {
                ProtocolError::GrantRefused { .. } => Self::refused(error),
                ProtocolError::ServerError { status, .. } if is_from_gateway(*status) => Self::ambiguous(error.into()),
                ProtocolError::RateLimited { .. } | ProtocolError::ServerError { .. } => Self::transient(error.into()),
                // A bare 401 as well: some providers return it for a dead refresh token.
                ProtocolError::UnknownRefusal { .. }
                | ProtocolError::ClientRefused { status: StatusCode::UNAUTHORIZED, code: None } => {
                    Self::unexplained(error.into())
                }
                ProtocolError::ClientRefused { .. } => Self::misconfigured(error.into()),
                ProtocolError::UnexpectedStatus(status) if !status.is_success() => Self::misconfigured(error.into()),
                // A response that cannot be understood.
                _ => Self::ambiguous(error.into()),
            },
        }
    }
}

/// Reports whether a gateway between this server and the provider may have given up waiting: the provider may have processed the request.
///
/// 408, 502, 504, and the equivalents of large networks (520 to 524).
fn is_from_gateway(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 502 | 504 | 520..=524)
}

impl fmt::Display for RefreshError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "token refresh failed ({}): {}", self.kind.as_str(), self.cause.reason())
    }
}

impl fmt::Debug for RefreshError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshError").field("kind", &self.kind).field("cause", &self.cause).finish()
    }
}

impl Error for RefreshError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.source()
    }
}
