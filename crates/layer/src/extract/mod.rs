//! Extractors for axum, and a rejection that handlers return.

mod rejection;
mod upstream_token;
mod user;

pub use rejection::AuthRejection;
pub use upstream_token::{UpstreamToken, UpstreamTokenRejection};
pub use user::{MissingAuthLayer, User};
