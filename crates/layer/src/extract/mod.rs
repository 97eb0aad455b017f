//! For axum: extractors, refusals from handlers, and routes for the metadata.

mod metadata_routes;
mod rejection;
mod upstream_token;
mod user;

pub use metadata_routes::metadata_routes;
pub use rejection::AuthRejection;
pub use upstream_token::{UpstreamToken, UpstreamTokenRejection};
pub use user::{MissingAuthLayer, User};
