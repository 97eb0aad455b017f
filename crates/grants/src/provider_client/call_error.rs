//! [`CallError`]: a request to a provider that failed, and what that means for the credential that it presented.

use http::StatusCode;
use portcullis_core::AuthError;
use portcullis_egress::{EgressError, EgressErrorKind};
use portcullis_oauth::ProtocolError;

use crate::RefreshError;

/// The error of a request to a provider.
#[derive(Debug)]
pub(super) enum CallError {
    /// The request was not sent: the provider rejected this server's client ID or secret a moment ago.
    ClientRejected(AuthError),
    /// There was no response, or one that the [circuit breaker](portcullis_egress::CircuitBreaker) counts as a failure.
    Egress(EgressError),
    /// The response is an error, or cannot be understood.
    Protocol(ProtocolError),
}

impl From<CallError> for AuthError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::ClientRejected(refusal) => refusal,
            CallError::Egress(error) => error.into(),
            CallError::Protocol(error) => error.into(),
        }
    }
}

/// What the error means for the refresh token or code that was presented.
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

impl CallError {
    /// Reports whether it is a 400 without an error code, which does not say what is wrong.
    pub(super) const fn is_bare(&self) -> bool {
        const BAD_REQUEST: StatusCode = StatusCode::BAD_REQUEST;
        matches!(self, Self::Protocol(ProtocolError::UnknownRefusal { status: BAD_REQUEST, code: None, wording: None }))
    }
}
