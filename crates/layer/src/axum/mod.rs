//! For axum: an extractor, and routes for the metadata.

mod metadata_routes;
mod user;

pub use metadata_routes::metadata_routes;
pub use user::{MissingAuthLayer, User};
