//! OAuth messages as pure functions: requests are built and responses processed, but nothing is sent.
//!
//! This crate is an implementation detail of [`portcullis`](https://docs.rs/portcullis): depend on `portcullis`, which re-exports it as
//! `portcullis::oauth`.
//!
//! The crate does no I/O and has no runtime and no clock: the current time is an argument. Checks leave evidence in the types: only
//! [`JwtPolicy`](jwt::JwtPolicy) and the introspection policy create [`Verified`] [`Claims`], and an
//! [`IdToken`](id_token::IdToken) or an [assertion] is created only by its own policy.

pub mod assertion;
mod audience;
mod claim_path;
mod claims;
mod claims_checks;
mod client_authentication;
pub mod dpop;
pub mod entra;
pub mod id_token;
pub mod introspection;
pub mod jwt;
pub mod metadata;
mod pkce;
pub mod protected_resource;
mod protocol_error;
pub mod providers;
pub mod registration;
mod response;
pub mod revocation;
pub mod strict_json;
mod subject;
mod token_request;
pub mod user_info;
mod verified;

pub use claims::{Claims, InvalidClaim, describes_login, describes_token};
pub use client_authentication::ClientAuthentication;
pub use pkce::CodeVerifier;
pub use protocol_error::ProtocolError;
pub use providers::token::TokenResponse;
pub use token_request::{TokenRequest, token_type};
pub use verified::Verified;
