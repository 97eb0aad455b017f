//! What is presented at the token endpoint, a file each.

mod assertions;
pub(crate) mod authorization_code;
mod issued;
pub(crate) mod jwt_bearer;
pub(crate) mod refresh_token;
mod trusted_issuer;

pub(crate) use assertions::Assertions;
pub(crate) use issued::Issued;
pub use trusted_issuer::TrustedIssuer;
