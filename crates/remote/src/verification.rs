//! [`Verification`]: what comes of a token when it meets a key set.

use std::fmt;

use futures_util::future::BoxFuture;
use portcullis_core::AuthError;
use portcullis_oauth::jwt::SignedJwt;

/// What comes of a token when it meets a key set.
#[must_use]
#[expect(clippy::exhaustive_enums, reason = "at once or later: there is no third")]
pub enum Verification {
    /// The outcome.
    Done(Result<SignedJwt, AuthError>),
    /// The outcome has to wait for a fetch.
    Pending(BoxFuture<'static, Result<SignedJwt, AuthError>>),
}

impl fmt::Debug for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(outcome) => f.debug_tuple("Done").field(outcome).finish(),
            Self::Pending(_) => f.debug_tuple("Pending").finish_non_exhaustive(),
        }
    }
}
