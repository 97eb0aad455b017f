//! [`AcquireError`]: why there is no token; [`GrantError`]: why a grant returned none.

use std::time::Duration;

use portcullis_core::{AuthError, Reason, ScopeSet};

/// The error of a token request, with what became of the credential that it presented.
pub use portcullis_refresh::RefreshError as GrantError;
/// The category of a [`GrantError`].
pub use portcullis_refresh::RefreshErrorKind as GrantErrorKind;

/// Why there is no access token.
///
/// Only [`ReauthRequired`](Self::ReauthRequired) and [`StepUpRequired`](Self::StepUpRequired) call for the user. A failure of the network,
/// of the authorization server or of the store never becomes one of them.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcquireError {
    /// There is no login, or the authorization server states that it has ended: the user has to log in.
    #[error("a login is required: {0}")]
    ReauthRequired(#[source] AuthError),
    /// The resource requires scopes that the token lacks, and the user has to grant them.
    #[error("the resource requires the scopes {scopes:?}, which were not granted")]
    StepUpRequired {
        /// All scopes that are needed: those of the token and those that the resource named.
        scopes: ScopeSet,
    },
    /// The authorization server cannot be asked at present.
    #[error("no token at present: {0}")]
    Unavailable(#[source] AuthError),
    /// The store of the tokens cannot be read or written.
    #[error("the store of the tokens failed: {0}")]
    Store(#[source] AuthError),
    /// The authorization server refuses this client, or its metadata cannot be used.
    #[error("the client is misconfigured: {0}")]
    Config(#[source] AuthError),
}

impl AcquireError {
    /// Returns the time after which it may succeed, if it is known.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable(error) | Self::Store(error) => error.retry_after(),
            Self::ReauthRequired(_) | Self::StepUpRequired { .. } | Self::Config(_) => None,
        }
    }

    /// Sets the time after which it may succeed.
    pub(crate) fn with_retry_after(self, delay: Duration) -> Self {
        match self {
            Self::Unavailable(error) => Self::Unavailable(error.with_retry_after(delay)),
            Self::Store(error) => Self::Store(error.with_retry_after(delay)),
            permanent => permanent,
        }
    }
}

impl From<AuthError> for AcquireError {
    fn from(error: AuthError) -> Self {
        match error.reason() {
            Reason::GrantEnded | Reason::Revoked => Self::ReauthRequired(error),
            Reason::InsufficientScope => Self::StepUpRequired { scopes: error.scopes().clone() },
            Reason::StoreUnavailable => Self::Store(error),
            Reason::ClientRefused => Self::Config(error),
            _ => Self::Unavailable(error),
        }
    }
}
