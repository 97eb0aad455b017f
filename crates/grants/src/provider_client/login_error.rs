//! [`LoginError`]: why a user could not be logged in, and whose fault that is.

use std::{error::Error, fmt};

use portcullis_core::{AuthError, Reason};

use crate::{RefreshError, RefreshErrorKind};

/// Why a user could not be logged in at a provider: what failed, and whose fault it is. It contains no token.
#[derive(Clone)]
pub struct LoginError {
    kind: LoginErrorKind,
    step: LoginStep,
    cause: AuthError,
}

/// Whose fault it is that a user could not be logged in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum LoginErrorKind {
    /// The code is no good: used, expired, or of somebody else. The user may begin again.
    Refused,
    /// What the provider says about who the user is does not hold. **Nobody** is logged in, and nothing of it may be used.
    Identity,
    /// The provider fails or does not answer. To begin again later may help.
    Unavailable,
    /// The provider refuses *us*, or what we ask: only the operator can help.
    Misconfigured,
}

/// What was being done.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum LoginStep {
    /// The code was being redeemed.
    Code,
    /// The ID token was being verified.
    IdToken,
    /// The user's profile was being fetched, or compared with the ID token.
    Profile,
}

impl LoginStep {
    /// The name under which it is logged.
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
    /// The code brought no tokens.
    pub(super) fn of_code(error: RefreshError) -> Self {
        let kind = match error.kind() {
            RefreshErrorKind::Refused => LoginErrorKind::Refused,
            RefreshErrorKind::Misconfigured | RefreshErrorKind::Unexplained => LoginErrorKind::Misconfigured,
            _ => kind_of(error.cause()),
        };
        Self { kind, step: LoginStep::Code, cause: error.into() }
    }

    /// The tokens came, and `step` failed.
    pub(super) fn after(step: LoginStep, cause: AuthError) -> Self {
        Self { kind: kind_of(&cause), step, cause }
    }

    /// Whose fault it is.
    #[must_use]
    pub const fn kind(&self) -> LoginErrorKind {
        self.kind
    }

    /// What was being done.
    #[must_use]
    pub const fn step(&self) -> LoginStep {
        self.step
    }

    /// What lies behind it.
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
        write!(f, "no login, {:?} at the step {:?}: {}", self.kind, self.step.as_str(), self.cause.reason())
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
