//! Access tokens: what a client presents, and by which hash its session knows it.

mod access_tokens;
mod jwk;
mod kind;
mod signing_key;
mod signing_keys;

pub(crate) use access_tokens::{AccessTokens, Minted};
pub use kind::AccessTokenKind;
pub use signing_key::InvalidSigningKey;
pub use signing_keys::SigningKeys;
