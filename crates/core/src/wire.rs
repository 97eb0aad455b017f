//! The table from an [`AuthErrorKind`] to an HTTP response.
//!
//! | kind | status | challenge | body |
//! |---|---|---|---|
//! | [`MissingToken`](AuthErrorKind::MissingToken) | 401 | without `error` | none |
//! | [`InvalidRequest`](AuthErrorKind::InvalidRequest) | 400 | `invalid_request` | OAuth JSON |
//! | [`InvalidToken`](AuthErrorKind::InvalidToken) | 401 | `invalid_token` | OAuth JSON |
//! | [`InsufficientScope`](AuthErrorKind::InsufficientScope) | 403 | `insufficient_scope` and every scope of the operation | OAuth JSON |
//! | [`Unavailable`](AuthErrorKind::Unavailable) | 503 + `Retry-After` | none | OAuth JSON |
//!
//! [RFC 6750 section 3.1](https://www.rfc-editor.org/rfc/rfc6750#section-3.1), and the section Error Handling of MCP authorization.

use http::StatusCode;

use crate::AuthErrorKind;

impl AuthErrorKind {
    /// Returns the status of the response.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::MissingToken | Self::InvalidToken => StatusCode::UNAUTHORIZED,
            Self::InvalidRequest => StatusCode::BAD_REQUEST,
            Self::InsufficientScope => StatusCode::FORBIDDEN,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Reports whether the response has a `WWW-Authenticate` challenge.
    #[must_use]
    pub const fn is_challenged(self) -> bool {
        !matches!(self, Self::Unavailable)
    }

    /// Returns the `error` code of the challenge and the body; `None` if the request had no authentication information.
    #[must_use]
    pub const fn error_code(self) -> Option<&'static str> {
        match self {
            Self::MissingToken => None,
            Self::InvalidRequest => Some("invalid_request"),
            Self::InvalidToken => Some("invalid_token"),
            Self::InsufficientScope => Some("insufficient_scope"),
            Self::Unavailable => Some("temporarily_unavailable"),
        }
    }

    /// Returns the description for the developer of the client. It is the same for every reason of a kind.
    #[must_use]
    pub const fn error_description(self) -> Option<&'static str> {
        match self {
            Self::MissingToken => None,
            Self::InvalidRequest => Some("The request is malformed or repeats its authentication information"),
            Self::InvalidToken => Some("The access token is expired, revoked, malformed or not for this resource"),
            Self::InsufficientScope => Some("The request requires higher privileges than the access token provides"),
            Self::Unavailable => Some("The access token cannot be checked at the moment"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_status_challenge_and_code() {
        let row = |kind: AuthErrorKind| (kind.status().as_u16(), kind.is_challenged(), kind.error_code());
        assert_eq!(row(AuthErrorKind::MissingToken), (401, true, None));
        assert_eq!(row(AuthErrorKind::InvalidRequest), (400, true, Some("invalid_request")));
        assert_eq!(row(AuthErrorKind::InvalidToken), (401, true, Some("invalid_token")));
        assert_eq!(row(AuthErrorKind::InsufficientScope), (403, true, Some("insufficient_scope")));
        assert_eq!(row(AuthErrorKind::Unavailable), (503, false, Some("temporarily_unavailable")));
    }
}
