//! Fixtures of this workspace's own tests; not published. What users need for their tests is in `portcullis-testkit`, which is
//! re-exported here whole.
//!
//! - [`Network`]: delivers the requests of a test to services of the process or to sockets.
//! - [`Browser`]: a headless browser for logins.
//! - [`OAuthClient`]: an OAuth client that follows the rules, or breaks the one under test.
//! - [`LogCapture`]: the log lines of a test.
//! - [`check_document_table`]: tables of documents that tests produce.

mod browser;
mod document_table;
mod fields;
mod log_capture;
mod network;
mod oauth_client;

pub use portcullis_testkit::*;

pub use browser::{Arrival, Browser, BrowserError, Cookie, Page, Submission};
pub use document_table::check_document_table;
pub use log_capture::LogCapture;
pub use network::{Network, NetworkError};
pub use oauth_client::{Answer, Authorization, Call, ClientError, OAuthClient};
