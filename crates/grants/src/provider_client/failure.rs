//! [`Failure`]: why a question to a provider has no answer, and what that means for the token that went with it.

use http::StatusCode;
use portcullis_core::AuthError;
use portcullis_egress::{EgressError, EgressErrorKind};
use portcullis_oauth::ProtocolError;

use crate::RefreshError;

/// Why a question to a provider has no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// Not sent: a moment ago the provider refused this server's id or secret.
    Closed(AuthError),
    /// There was no response, or one that the [back-off](portcullis_egress::CircuitBreaker) took for a failure.
    Egress(EgressError),
    /// The response does not say what was asked.
    Protocol(ProtocolError),
}

impl From<Failure> for AuthError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Closed(refusal) => refusal,
            Failure::Egress(error) => error.into(),
            Failure::Protocol(error) => error.into(),
        }
    }
}

/// What became of the refresh token or code that was to be presented.
impl From<Failure> for RefreshError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Closed(refusal) => Self::not_sent(refusal),
            Failure::Egress(error) => {
                let outcome = match error.kind() {
                    _ if error.status().is_some_and(is_of_a_gateway) => Self::ambiguous,
                    EgressErrorKind::Blocked
                    | EgressErrorKind::Connect
                    | EgressErrorKind::BackingOff
                    | EgressErrorKind::ClientRefused
                    | EgressErrorKind::SourceLimited => Self::not_sent,
                    // The circuit breaker told it, not the provider.
                    EgressErrorKind::RateLimited if error.status().is_none() => Self::not_sent,
                    EgressErrorKind::RateLimited | EgressErrorKind::ServerError => Self::transient,
                    // Time-outs, broken connections, answers that were not read: the provider may have done its work.
                    _ => Self::ambiguous,
                };
                outcome(error.into())
            }
            Failure::Protocol(error) => match &error {
                ProtocolError::GrantRefused { .. } => Self::refused(error),
                ProtocolError::ServerError { status, .. } if is_of_a_gateway(*status) => Self::ambiguous(error.into()),
                ProtocolError::RateLimited { .. } | ProtocolError::ServerError { .. } => Self::transient(error.into()),
                // A bare 401 as well: some answer it to a dead refresh token.
                ProtocolError::UnknownRefusal { .. }
                | ProtocolError::ClientRefused { status: StatusCode::UNAUTHORIZED, code: None } => {
                    Self::unexplained(error.into())
                }
                ProtocolError::ClientRefused { .. } => Self::misconfigured(error.into()),
                ProtocolError::UnexpectedStatus(status) if !status.is_success() => Self::misconfigured(error.into()),
                // An answer to the question, which nobody can read.
                _ => Self::ambiguous(error.into()),
            },
        }
    }
}

/// Whether somebody between us and the provider has given up waiting: the provider may have done its work.
///
/// 408, 502, 504, and what gateways of large networks say instead (520 to 524).
fn is_of_a_gateway(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 502 | 504 | 520..=524)
}

impl Failure {
    /// A 400 without a word: something was wrong, and the provider does not say what.
    pub(super) const fn is_bare(&self) -> bool {
        const BAD_REQUEST: StatusCode = StatusCode::BAD_REQUEST;
        matches!(self, Self::Protocol(ProtocolError::UnknownRefusal { status: BAD_REQUEST, code: None, wording: None }))
    }
}
