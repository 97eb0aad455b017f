//! [`EgressError`]: why there is no response.

use std::{error::Error, fmt, time::Duration};

use http::{StatusCode, Uri};
use portcullis_core::{AuthError, Reason};

type BoxError = Box<dyn Error + Send + Sync>;

/// Why there is no response.
///
/// It names scheme, host and path of the request, never its query, headers or body: it may be logged.
#[derive(Debug)]
pub struct EgressError {
    kind: EgressErrorKind,
    target: String,
    status: Option<StatusCode>,
    retry_after: Option<Duration>,
    source: Option<BoxError>,
}

/// The kind of an [`EgressError`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum EgressErrorKind {
    /// Not sent: the destination is not allowed.
    Blocked,
    /// Not sent: there was no connection.
    Connect,
    /// The response was not complete in time. The request may have been processed.
    Timeout,
    /// The connection broke. The request may have been processed.
    Transport,
    /// The response is larger than the limit.
    BodyTooLarge,
    /// Answered with a server error (5xx). Only behind a [`CircuitBreaker`](crate::CircuitBreaker).
    ServerError,
    /// Answered, now or a short time ago, that it is called too often (429): by this server, or with this user's token. Only behind a
    /// [`CircuitBreaker`](crate::CircuitBreaker).
    RateLimited,
    /// Not sent: the provider failed a short time ago and the back-off window is not over. Only behind a
    /// [`CircuitBreaker`](crate::CircuitBreaker).
    BackingOff,
    /// Not sent: a short time ago this credential was refused, or several were, in a way that may be about this server. Only behind a
    /// [`CircuitBreaker`](crate::CircuitBreaker).
    ClientRefused,
    /// Not sent: credentials from this [source](portcullis_core::RequestSource) that were not accepted have used up the calls that one
    /// source may cause. Only behind a [`CircuitBreaker`](crate::CircuitBreaker).
    SourceLimited,
}

impl EgressErrorKind {
    /// Returns the value of the metrics' label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Transport => "transport",
            Self::BodyTooLarge => "body_too_large",
            Self::ServerError => "server_error",
            Self::RateLimited => "rate_limited",
            Self::BackingOff => "backing_off",
            Self::ClientRefused => "client_refused",
            Self::SourceLimited => "source_limited",
        }
    }

    /// Returns the reason for the request that needed the response.
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::Blocked | Self::ClientRefused => Reason::ClientRefused,
            Self::Timeout => Reason::ProviderTimeout,
            Self::Connect | Self::Transport | Self::ServerError => Reason::ProviderUnavailable,
            Self::BodyTooLarge => Reason::ProviderMisbehaved,
            Self::RateLimited => Reason::ProviderRateLimited,
            Self::BackingOff => Reason::BackingOff,
            Self::SourceLimited => Reason::SourceLimited,
        }
    }

    const fn sentence(self) -> &'static str {
        match self {
            Self::Blocked => "not allowed to call",
            Self::Connect => "cannot connect to",
            Self::Timeout => "no complete answer in time from",
            Self::Transport => "the connection broke to",
            Self::BodyTooLarge => "too large an answer from",
            Self::ServerError => "a server error from",
            Self::RateLimited => "called too often:",
            Self::BackingOff => "failed a short time ago and is not called:",
            Self::ClientRefused => "refused the credential, or this server, a short time ago:",
            Self::SourceLimited => "too many credentials from one source were not accepted by",
        }
    }

    /// Returns the kind of error for calls that are not sent because one failed in this way.
    pub(crate) const fn while_left_alone(self) -> Self {
        match self {
            Self::RateLimited | Self::ClientRefused => self,
            _ => Self::BackingOff,
        }
    }
}

impl EgressError {
    /// Creates an error of `kind` about a request to `uri`, for services behind [`Egress::from_service`](crate::Egress::from_service).
    #[must_use]
    pub fn new(kind: EgressErrorKind, uri: &Uri) -> Self {
        Self { kind, target: target(uri), status: None, retry_after: None, source: None }
    }

    /// Sets the underlying error. It must not contain a secret: it is logged.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Sets the time after which a retry may succeed.
    #[must_use]
    pub const fn with_retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// Sets the status of the response that is treated as this error.
    #[must_use]
    pub const fn with_status(mut self, status: StatusCode) -> Self {
        self.status = Some(status);
        self
    }

    /// Returns the status of the response that is treated as this error, if there was one.
    #[must_use]
    pub const fn status(&self) -> Option<StatusCode> {
        self.status
    }

    /// Returns the kind of the error.
    #[must_use]
    pub const fn kind(&self) -> EgressErrorKind {
        self.kind
    }

    /// Returns the reason for the request that needed the response: always one of the reasons for `Unavailable`.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        self.kind.reason()
    }

    /// Returns the time after which a retry may succeed, if it is known.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

/// Returns scheme, host, port and path. A segment of the path that is as long as a token is left out: HubSpot's profiles have the access
/// token there.
fn target(uri: &Uri) -> String {
    const LONGEST_SEGMENT: usize = 40;
    let scheme = uri.scheme_str().unwrap_or_default();
    let host = uri.host().unwrap_or_default();
    let port = uri.port().map(|port| format!(":{port}")).unwrap_or_default();
    let shown = |segment| if str::len(segment) > LONGEST_SEGMENT { "(not shown)" } else { segment };
    let path: Vec<&str> = uri.path().split('/').map(shown).collect();
    format!("{scheme}://{host}{port}{}", path.join("/"))
}

impl fmt::Display for EgressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.sentence(), self.target)
    }
}

impl Error for EgressError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl From<EgressError> for AuthError {
    fn from(error: EgressError) -> Self {
        let refusal = Self::new(error.reason());
        match error.retry_after {
            Some(delay) => refusal.with_retry_after(delay),
            None => refusal,
        }
        .with_source(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [EgressErrorKind; 10] = [
        EgressErrorKind::Blocked,
        EgressErrorKind::Connect,
        EgressErrorKind::Timeout,
        EgressErrorKind::Transport,
        EgressErrorKind::BodyTooLarge,
        EgressErrorKind::ServerError,
        EgressErrorKind::RateLimited,
        EgressErrorKind::BackingOff,
        EgressErrorKind::ClientRefused,
        EgressErrorKind::SourceLimited,
    ];

    #[test]
    fn prints_no_segment_of_the_path_that_may_be_a_token() {
        let tenant = "/72f988bf-86f1-41af-91ab-2d7cd011db47/oauth2/v2.0/token";
        let uri: Uri = format!("https://idp.example.com{tenant}").parse().expect("URI");
        assert!(EgressError::new(EgressErrorKind::Timeout, &uri).to_string().ends_with(tenant));
        let token = "CJSP5qf1KhICAQEYs-gDIIGOBii1hQIyGQAf3xBKmlwHjX7OIpuIFEavB2-qYAGQsF4";
        let uri: Uri = format!("https://api.hubapi.com/oauth/v1/access-tokens/{token}").parse().expect("URI");
        let error = EgressError::new(EgressErrorKind::Timeout, &uri);
        let text = format!("{error} {error:?}");
        assert!(text.contains("/oauth/v1/access-tokens/(not shown)") && !text.contains("CJSP5"), "{text}");
    }

    #[test]
    fn prints_no_query_and_no_user_info() {
        let uri = Uri::from_static("https://user:word@idp.example.com:8443/userinfo?access_token=s3cret");
        for kind in KINDS {
            let error = EgressError::new(kind, &uri);
            let text = format!("{error} {error:?}");
            assert!(text.contains("https://idp.example.com:8443/userinfo"), "{text}");
            assert!(!text.contains("s3cret") && !text.contains("word"), "{text}");
        }
    }

    #[test]
    fn every_kind_is_transient() {
        for kind in KINDS {
            let error = EgressError::new(kind, &Uri::from_static("https://a.example/"));
            let refusal = AuthError::from(error.with_retry_after(Duration::from_secs(7)));
            assert!(refusal.is_transient(), "{kind:?}");
            assert_eq!(refusal.retry_after(), Some(Duration::from_secs(7)));
        }
    }
}
