//! Access tokens: what a client presents, and by which hash its session knows it.

mod jwk;
mod jwts;
mod kind;
mod minting;
mod signing_key;
mod signing_keys;

pub use kind::AccessTokenKind;
pub(crate) use minting::{AccessTokens, Minted};
pub use signing_key::InvalidSigningKey;
pub use signing_keys::SigningKeys;
