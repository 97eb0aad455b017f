//! [`ProtocolError`]: why a response of a provider does not say what was asked.

use std::time::Duration;

use http::StatusCode;
use portcullis_core::{AuthError, Reason};

/// Why a response of a provider does not say what was asked.
///
/// For the operator. It quotes statuses, error codes and issuers, never a token and never a body.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The provider says that the token presented is no good.
    #[error("the provider refused the token")]
    TokenRefused,
    /// The provider says that the refresh token or authorization code presented is no good: the user must log in again.
    #[error("the provider refused the grant: {code:?} {description:?}")]
    GrantRefused {
        /// The error code, `invalid_grant` or the provider's own.
        code: String,
        /// What the provider says about it, if it is fit for a log line.
        description: Option<String>,
    },
    /// The provider refused *our* credentials, or what we are allowed to ask; or, where it does not
    /// [say so](Self::is_invalid_client), the credential that was presented.
    #[error("the provider refused the request, this server's credentials or set-up: status {status}, error {code:?}")]
    ClientRefused {
        /// The status of the response.
        status: StatusCode,
        /// Its error code, if it has one.
        code: Option<String>,
    },
    /// The token endpoint refused in words of its own: whether the refresh token or this server is at fault it does not say.
    #[error("the provider refused in words of its own: status {status}, error {code:?}, {wording:?}")]
    UnknownRefusal {
        /// The status of the response.
        status: StatusCode,
        /// Its error code, if it has one.
        code: Option<String>,
        /// Another member that names the error, and its value, if there is one: `status=BAD_REFRESH_TOKEN`.
        wording: Option<String>,
    },
    /// The provider asked to be called less often.
    #[error("the provider limits the rate of calls")]
    RateLimited {
        /// When to call again, if the provider says so in seconds.
        retry_after: Option<Duration>,
    },
    /// The provider failed.
    #[error("the provider failed: status {status}")]
    ServerError {
        /// The status of the response.
        status: StatusCode,
        /// When to call again, if the provider says so in seconds.
        retry_after: Option<Duration>,
    },
    /// A status that has no meaning here.
    #[error("unexpected status {0}")]
    UnexpectedStatus(StatusCode),
    /// Not a JSON object, or not labelled as JSON.
    #[error("not a JSON object: content type {content_type:?}")]
    NotJson {
        /// The content type of the response.
        content_type: Option<String>,
    },
    /// A member that must be there is not, or has the wrong type.
    #[error("member {0:?} is missing or invalid")]
    InvalidMember(&'static str),
    /// The metadata of another authorization server.
    #[error("the metadata of {expected:?} names the issuer {found:?}")]
    WrongIssuer {
        /// The issuer asked.
        expected: String,
        /// The issuer named in the document.
        found: String,
    },
}

impl ProtocolError {
    /// The reason under which a request is refused for it.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::TokenRefused => Reason::Inactive,
            Self::GrantRefused { .. } => Reason::GrantEnded,
            Self::ClientRefused { .. } => Reason::ClientRefused,
            Self::UnknownRefusal { .. } => Reason::UnknownRefusal,
            Self::RateLimited { .. } => Reason::ProviderRateLimited,
            Self::ServerError { .. } => Reason::ProviderUnavailable,
            Self::UnexpectedStatus(_) | Self::NotJson { .. } | Self::InvalidMember(_) | Self::WrongIssuer { .. } => {
                Reason::ProviderMisbehaved
            }
        }
    }

    /// Whether the provider says that *our* id or secret is no good, whatever is asked with them: `invalid_client`, and nothing else
    /// ([RFC 6749 section 5.2](https://www.rfc-editor.org/rfc/rfc6749#section-5.2)). `unauthorized_client` is said to a client that
    /// *was* authenticated, about one type of grant; a status without a code may be about the credential that was presented.
    #[must_use]
    pub fn is_invalid_client(&self) -> bool {
        matches!(self, Self::ClientRefused { code: Some(code), .. } if code == "invalid_client")
    }

    /// When trying again may help, if the provider says.
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
