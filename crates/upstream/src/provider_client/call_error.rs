//! What a failed request to a provider means for the credential that it presented.

use http::StatusCode;
use portcullis_egress::EgressErrorKind;
use portcullis_oauth::ProtocolError;
use portcullis_remote::CallError;

use portcullis_refresh::RefreshError;

/// Returns what `error` means for the refresh token or code that was presented.
pub(super) fn refresh_error(error: CallError) -> RefreshError {
    match error {
        CallError::ClientRejected(refusal) => RefreshError::not_sent(refusal),
        CallError::Egress(error) => {
            let outcome = match error.kind() {
                _ if error.status().is_some_and(is_from_gateway) => RefreshError::ambiguous,
                EgressErrorKind::Blocked
                | EgressErrorKind::Connect
                | EgressErrorKind::BackingOff
                | EgressErrorKind::ClientRefused
                | EgressErrorKind::SourceLimited => RefreshError::not_sent,
                // From the circuit breaker, not from the provider.
                EgressErrorKind::RateLimited if error.status().is_none() => RefreshError::not_sent,
                EgressErrorKind::RateLimited | EgressErrorKind::ServerError => RefreshError::transient,
                // Time-outs, broken connections, unread responses: the provider may have processed the request.
                _ => RefreshError::ambiguous,
            };
            outcome(error.into())
        }
        CallError::Protocol(error) => match &error {
            ProtocolError::GrantRefused { .. } => RefreshError::refused(error),
            ProtocolError::ServerError { status, .. } if is_from_gateway(*status) => {
                RefreshError::ambiguous(error.into())
            }
            ProtocolError::RateLimited { .. } | ProtocolError::ServerError { .. } => {
                RefreshError::transient(error.into())
            }
            // A bare 401 as well: some providers return it for a dead refresh token.
            ProtocolError::UnknownRefusal { .. }
            | ProtocolError::ClientRefused { status: StatusCode::UNAUTHORIZED, code: None } => {
                RefreshError::unexplained(error.into())
            }
            ProtocolError::ClientRefused { .. } => RefreshError::misconfigured(error.into()),
            ProtocolError::UnexpectedStatus(status) if !status.is_success() => {
                RefreshError::misconfigured(error.into())
            }
            // A response that cannot be understood.
            _ => RefreshError::ambiguous(error.into()),
        },
    }
}

/// Reports whether a gateway between this server and the provider may have given up waiting: the provider may have processed the request.
///
/// 408, 502, 504, and the equivalents of large networks (520 to 524).
fn is_from_gateway(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 502 | 504 | 520..=524)
}

/// Reports whether `error` is a 400 without an error code, which does not say what is wrong.
pub(super) fn is_bare(error: &CallError) -> bool {
    const BAD_REQUEST: StatusCode = StatusCode::BAD_REQUEST;
    matches!(
        error,
        CallError::Protocol(ProtocolError::UnknownRefusal { status: BAD_REQUEST, code: None, wording: None })
    )
}
