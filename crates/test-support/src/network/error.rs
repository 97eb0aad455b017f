//! [`NetworkError`]: why there is no response.

use std::error::Error;

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// A request is for a URL without scheme or host.
    #[error("{0} is no URL of http or https")]
    NotAbsolute(String),
    /// No service is said to be there, and a socket speaks plain HTTP only.
    #[error("nothing of this test is at {0}, and sockets are for http only")]
    Nowhere(String),
    /// Nobody listens there, or whoever does broke off.
    #[error("{origin} did not answer")]
    Failed {
        /// Where.
        origin: String,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
}
