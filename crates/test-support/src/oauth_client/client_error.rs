//! [`ClientError`]: what a client does not put up with.

use crate::{BrowserError, NetworkError};

/// What a client does not put up with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nobody answered.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The browser could not go on.
    #[error(transparent)]
    Browser(#[from] BrowserError),
    /// The metadata is not there, or that of somebody else.
    #[error("no metadata of {issuer}: status {status}")]
    NoMetadata {
        /// Whose.
        issuer: String,
        /// What came instead.
        status: u16,
    },
    /// The metadata has no such member.
    #[error("the metadata has no {0}")]
    NoEndpoint(&'static str),
    /// The authorization response is none to this request.
    #[error("the authorization response has the wrong {0}")]
    CallbackMismatch(&'static str),
    /// The authorization response is an error.
    #[error("{error}: {description}")]
    Refused {
        /// The error.
        error: String,
        /// And what it says to people.
        description: String,
    },
    /// This cannot be sent as a request.
    #[error("{0} is no URL to send something to")]
    NotAUrl(String),
}
