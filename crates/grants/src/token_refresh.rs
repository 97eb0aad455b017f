//! [`TokenRefresh`]: a refresh token is presented, and new tokens come back.

use std::{error::Error, fmt, sync::Arc, time::Duration};

use portcullis_core::{AuthError, Reason};
use portcullis_oauth::TokenResponse;
use tokio::time::Instant;
use tower_service::Service;

use crate::TokenSet;

/// A tower service that spends a refresh token: the tokens as they are go in, the provider's response comes out. An alias:
/// every such service has it.
///
/// It is called once per generation, and again only where the request was not sent, the provider failed, or no answer came.
/// **Put no retry around it**: a request that was sent may have spent the token, whatever came back. A concurrency limit around
/// it is safe: while it is waited for, the request is known not to have been sent. A time limit is safe if its error is
/// [`RefreshError::ambiguous`].
pub trait TokenRefresh: Service<Arc<TokenSet>, Response = TokenResponse, Error = RefreshError> {}

impl<E> TokenRefresh for E where E: Service<Arc<TokenSet>, Response = TokenResponse, Error = RefreshError> + ?Sized {}

/// Why there are no new tokens, and what became of the old one.
#[derive(Clone)]
pub struct RefreshError {
    kind: RefreshErrorKind,
    cause: AuthError,
    accepted_at: Option<Instant>,
}

/// What became of a refresh token that was to be presented.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum RefreshErrorKind {
    /// The provider says that it is no good. It is never presented again.
    Refused,
    /// The provider says that it failed, or asks to be called less often. The token is taken not to be spent.
    Transient,
    /// It was not sent. The token is not spent.
    NotSent,
    /// It may have been sent, and no answer came. The token may be spent.
    Ambiguous,
    /// The provider refuses *our* credentials or what we ask. The token is not spent.
    Misconfigured,
    /// The provider refuses, and does not say whether the token or this server is at fault. The token is not spent. Evidence decides:
    /// see [`RefreshError::with_accepted_at`].
    Unexplained,
}

impl RefreshErrorKind {
    /// The name under which it is counted.
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
    /// The provider says that the refresh token is no good.
    pub fn refused(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::of(RefreshErrorKind::Refused, AuthError::new(Reason::GrantEnded).with_source(source))
    }

    /// The provider failed or wants a rest; `cause` is an `Unavailable`, and says for how long if that is known.
    #[must_use]
    pub const fn transient(cause: AuthError) -> Self {
        Self::of(RefreshErrorKind::Transient, cause)
    }

    /// The request did not go out.
    #[must_use]
    pub const fn not_sent(cause: AuthError) -> Self {
        Self::of(RefreshErrorKind::NotSent, cause)
    }

    /// The request may have gone out, and no answer came that can be used.
    #[must_use]
    pub const fn ambiguous(cause: AuthError) -> Self {
        Self::of(RefreshErrorKind::Ambiguous, cause)
    }

    /// The provider refuses our credentials or what we ask.
    #[must_use]
    pub const fn misconfigured(cause: AuthError) -> Self {
        Self::of(RefreshErrorKind::Misconfigured, cause)
    }

    /// The provider refuses, and does not say whether the refresh token or this server is at fault; `cause` is an `Unavailable`.
    #[must_use]
    pub const fn unexplained(cause: AuthError) -> Self {
        Self::of(RefreshErrorKind::Unexplained, cause)
    }

    /// When the token endpoint last accepted the credentials of this server, before the request was sent that is answered by this.
    /// Default: unknown, and then an [unexplained](RefreshErrorKind::Unexplained) refusal never ends a grant.
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

    /// What became of the refresh token.
    #[must_use]
    pub const fn kind(&self) -> RefreshErrorKind {
        self.kind
    }

    /// What those are told who wait for the new token.
    #[must_use]
    pub const fn cause(&self) -> &AuthError {
        &self.cause
    }

    /// How long the provider asks to be left alone, if it does.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.cause.retry_after()
    }
}

/// What a request is refused with for it.
impl From<RefreshError> for AuthError {
    fn from(error: RefreshError) -> Self {
        error.cause
    }
}

impl fmt::Display for RefreshError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no new token ({}): {}", self.kind.as_str(), self.cause.reason())
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
