//! [`LoginError`]: a failed login, with its category and its step.

use std::{error::Error, fmt};

use portcullis_core::{AuthError, Reason};
use portcullis_refresh::{RefreshError, RefreshErrorKind};

/// A failed login at a provider: the step that failed, and the category of the error. It contains no token.
#[derive(Clone)]
pub struct LoginError {
    kind: LoginErrorKind,
    step: LoginStep,
    cause: AuthError,
}

/// The category of a [`LoginError`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum LoginErrorKind {
    /// The code is invalid: used, expired, or issued to another client. The user may log in again.
    Refused,
    /// The identity that the provider states is not valid. **No** user is logged in, and nothing of it may be used.
    Identity,
    /// The provider fails or does not respond. A later login may succeed.
    Unavailable,
    /// The provider rejects this server, or its request: the operator has to act.
    Misconfigured,
}

/// A step of a login.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum LoginStep {
    /// Redeeming the code.
    Code,
    /// Verifying the ID token.
    IdToken,
    /// Requesting the user's profile, and comparing it with the ID token.
    Profile,
}

impl LoginStep {
    /// Returns the name of the step in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::IdToken => "id_token",
            Self::Profile => "profile",
        }
    }
}

impl LoginError {
    /// Creates the error of a code that was not redeemed.
    pub(super) fn of_code(error: RefreshError) -> Self {
        let kind = match error.kind() {
            RefreshErrorKind::Refused => LoginErrorKind::Refused,
            RefreshErrorKind::Misconfigured | RefreshErrorKind::Unexplained => LoginErrorKind::Misconfigured,
            _ => kind_of(error.cause()),
        };
        Self { kind, step: LoginStep::Code, cause: error.into() }
    }

    /// Creates the error of a `step` after the code was redeemed.
    pub(super) fn after(step: LoginStep, cause: AuthError) -> Self {
        Self { kind: kind_of(&cause), step, cause }
    }

    /// Returns the category.
    #[must_use]
    pub const fn kind(&self) -> LoginErrorKind {
        self.kind
    }

    /// Returns the step that failed.
    #[must_use]
    pub const fn step(&self) -> LoginStep {
        self.step
    }

    /// Returns the underlying error.
    #[must_use]
    pub const fn cause(&self) -> &AuthError {
        &self.cause
    }
}

fn kind_of(cause: &AuthError) -> LoginErrorKind {
    match cause.reason() {
        Reason::ClientRefused | Reason::FreshTokenRefused => LoginErrorKind::Misconfigured,
        _ if cause.is_transient() => LoginErrorKind::Unavailable,
        _ => LoginErrorKind::Identity,
    }
}

impl fmt::Display for LoginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the login failed ({:?}) at the step {:?}: {}", self.kind, self.step.as_str(), self.cause.reason())
    }
}

impl fmt::Debug for LoginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginError")
            .field("kind", &self.kind)
            .field("step", &self.step)
            .field("cause", &self.cause)
            .finish()
    }
}

impl Error for LoginError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.source()
    }
}
