//! Vendors: each one file of paths, shapes and habits.

mod atlassian;
mod dialect;
mod github;
mod google;
mod keycloak;
mod known;
mod salesforce;
mod standard;

pub use dialect::ErrorClass;
pub(super) use dialect::{Dialect, Visit};
pub(super) use github::github_token_check;
pub use known::Vendor;
pub(super) use standard::Standard;
