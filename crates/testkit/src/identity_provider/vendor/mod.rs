//! Vendors: each one file of paths, shapes and habits.

mod atlassian;
mod dialect;
mod error_class;
mod github;
mod google;
mod keycloak;
mod known;
mod salesforce;
mod standard;

pub(super) use dialect::{Dialect, Visit};
pub use error_class::ErrorClass;
pub(super) use github::github_token_check;
pub use known::Vendor;
pub(super) use standard::Standard;
