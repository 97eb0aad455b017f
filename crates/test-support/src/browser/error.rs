//! [`BrowserError`]: what a browser could not do.

use url::Url;

use crate::NetworkError;

/// What a browser could not do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrowserError {
    /// Nobody answered.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// This is not the URL of anything.
    #[error("{0:?} is no URL")]
    NotAUrl(String),
    /// One redirect after the other.
    #[error("redirects without end, the last one to {}", .0.path())]
    TooManyRedirects(Box<Url>),
    /// No form of the page has this button.
    #[error("{url} (status {status}) has no button {wanted}, but {offered}")]
    NoButton {
        /// The page, without its query.
        url: String,
        /// Its status.
        status: u16,
        /// The button, as `name=value`.
        wanted: String,
        /// The buttons that it has.
        offered: String,
    },
    /// The `Content-Security-Policy` of the page forbids that its form ends up there.
    #[error("the page of {page} lets no form go to {target}")]
    FormActionForbidden {
        /// The origin of the page.
        page: String,
        /// The origin of the form's action, or of a redirect that came of it.
        target: String,
    },
    /// There is a page where none was expected: the browser was to go on to the client.
    #[error("the browser stopped at {url} (status {status})")]
    StillThere {
        /// The page, without its query.
        url: String,
        /// Its status.
        status: u16,
    },
    /// The browser went on to a client where a page was expected.
    #[error("the browser left for {0}")]
    Left(String),
}
