//! [`ProtocolError`]: an error in a response of a provider.

use std::time::Duration;

use http::StatusCode;
use portcullis_core::{AuthError, Reason};

/// An error in a response of a provider.
///
/// It is for the operator. It contains statuses, error codes and issuers, never a token or a body.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The provider rejected the presented token.
    #[error("the provider rejected the token")]
    TokenRefused,
    /// The provider rejected the refresh token or authorization code: the user must log in again.
    #[error("the provider rejected the grant: {code:?} {description:?}")]
    GrantRefused {
        /// The error code, `invalid_grant` or the provider's own.
        code: String,
        /// The description of the provider, if it is safe to log.
        description: Option<String>,
    },
    /// The provider rejected the credentials or the permissions of this server; or, unless it is
    /// [`invalid_client`](Self::is_invalid_client), possibly the presented credential.
    #[error(
        "the provider rejected the request, the credentials or the configuration of this server: status {status}, error {code:?}"
    )]
    ClientRefused {
        /// The status of the response.
        status: StatusCode,
        /// Its error code, if it has one.
        code: Option<String>,
    },
    /// The token endpoint rejected the request with a non-standard error, which does not tell whether the refresh token or this server is
    /// at fault.
    #[error(
        "the provider rejected the request with a non-standard error: status {status}, error {code:?}, {wording:?}"
    )]
    UnknownRefusal {
        /// The status of the response.
        status: StatusCode,
        /// Its error code, if it has one.
        code: Option<String>,
        /// Another member that names the error, and its value, if there is one: `status=BAD_REFRESH_TOKEN`.
        wording: Option<String>,
    },
    /// The provider limited the rate of requests.
    #[error("the provider limited the rate of requests")]
    RateLimited {
        /// The delay of `Retry-After`, if it is in seconds.
        retry_after: Option<Duration>,
    },
    /// The provider failed.
    #[error("the provider failed: status {status}")]
    ServerError {
        /// The status of the response.
        status: StatusCode,
        /// The delay of `Retry-After`, if it is in seconds.
        retry_after: Option<Duration>,
    },
    /// A status that is not defined for the request.
    #[error("unexpected status {0}")]
    UnexpectedStatus(StatusCode),
    /// The response is not a JSON object, or its content type is not JSON.
    #[error("not a JSON object: content type {content_type:?}")]
    NotJson {
        /// The content type of the response.
        content_type: Option<String>,
    },
    /// A signed response is not a JWT that is accepted here.
    #[error("the signed response is not accepted: {0}")]
    InvalidJwt(Reason),
    /// A required member is missing, or has the wrong type.
    #[error("member {0:?} is missing or invalid")]
    InvalidMember(&'static str),
    /// The profile does not identify the user by the configured member.
    #[error(
        "the profile has no string or number at {path:?}, which is to identify the user; its members are {present:?}: check `bridge.oauth2.subject`"
    )]
    NoSubject {
        /// The path of the member.
        path: String,
        /// The names of the members, without values.
        present: String,
    },
    /// The metadata of another authorization server.
    #[error("the metadata of {expected:?} names the issuer {found:?}")]
    WrongIssuer {
        /// The expected issuer.
        expected: String,
        /// The issuer in the document.
        found: String,
    },
}

impl ProtocolError {
    /// Returns the reason with which a request is rejected.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::TokenRefused => Reason::Inactive,
            Self::GrantRefused { .. } => Reason::GrantEnded,
            Self::ClientRefused { .. } => Reason::ClientRefused,
            Self::UnknownRefusal { .. } => Reason::UnknownRefusal,
            Self::RateLimited { .. } => Reason::ProviderRateLimited,
            Self::ServerError { .. } => Reason::ProviderUnavailable,
            Self::UnexpectedStatus(_)
            | Self::NotJson { .. }
            | Self::InvalidJwt(_)
            | Self::InvalidMember(_)
            | Self::NoSubject { .. }
            | Self::WrongIssuer { .. } => Reason::ProviderMisbehaved,
        }
    }

    /// Reports whether the provider rejected the client id or secret of this server: the code is `invalid_client`
    /// ([RFC 6749 section 5.2](https://www.rfc-editor.org/rfc/rfc6749#section-5.2)). `unauthorized_client` concerns one grant type of a
    /// client that *was* authenticated; a status without a code may concern the presented credential.
    #[must_use]
    pub fn is_invalid_client(&self) -> bool {
        matches!(self, Self::ClientRefused { code: Some(code), .. } if code == "invalid_client")
    }

    /// Returns the delay after which a retry may succeed, if the provider gives it.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after } | Self::ServerError { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

impl From<ProtocolError> for AuthError {
    fn from(error: ProtocolError) -> Self {
        let refusal = Self::new(error.reason());
        let refusal = match error.retry_after() {
            Some(delay) => refusal.with_retry_after(delay),
            None => refusal,
        };
        refusal.with_source(error)
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    #[test]
    fn only_a_refused_token_is_the_tokens_fault() {
        let status = StatusCode::UNAUTHORIZED;
        assert!(!AuthError::from(ProtocolError::TokenRefused).is_transient());
        let ended = ProtocolError::GrantRefused { code: "invalid_grant".to_owned(), description: None };
        assert!(!AuthError::from(ended).is_transient());
        for error in [
            ProtocolError::ClientRefused { status, code: None },
            ProtocolError::UnknownRefusal { status, code: None, wording: None },
            ProtocolError::RateLimited { retry_after: None },
            ProtocolError::ServerError { status, retry_after: None },
            ProtocolError::UnexpectedStatus(status),
            ProtocolError::NotJson { content_type: None },
            ProtocolError::InvalidMember("sub"),
        ] {
            assert!(AuthError::from(error.clone()).is_transient(), "{error}");
        }
    }

    #[test]
    fn the_delay_and_the_cause_are_kept() {
        let delay = Duration::from_secs(7);
        let refusal = AuthError::from(ProtocolError::RateLimited { retry_after: Some(delay) });
        assert_eq!(refusal.retry_after(), Some(delay));
        assert!(refusal.source().is_some());
    }
}
