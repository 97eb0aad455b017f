//! What is presented at the token endpoint, a file each.

pub(crate) mod authorization_code;
mod issued;
mod jwt_bearer;
pub(crate) mod refresh_token;

pub(crate) use issued::Issued;
pub(crate) use jwt_bearer::Assertions;
pub use jwt_bearer::TrustedIssuer;
