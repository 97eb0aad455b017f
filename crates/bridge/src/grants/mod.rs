//! What is presented at the token endpoint, a file each.

mod jwt_bearer;

pub(crate) use jwt_bearer::Assertions;
pub use jwt_bearer::TrustedIssuer;
