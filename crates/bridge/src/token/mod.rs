//! The token endpoint's grant types, one file each: what a client presents, the rules, and what it receives.

mod authorization_code;
mod identity_assertions;
mod issuer;
mod jwt_bearer;
mod refresh_token;
#[cfg(test)]
mod tests;

pub use identity_assertions::TrustedIssuer;
pub(crate) use issuer::{TokenIssuer, TokenResponse};
