//! The messages of OAuth, as pure functions: a request is built, a response is judged, nothing is sent.
//!
//! No I/O, no runtime, no clock: the present time is an argument. A check leaves evidence in the types: a token becomes
//! [`Verified`] [`Claims`] only by [`JwtPolicy`](jwt::JwtPolicy) or by an introspection policy, an
//! [`IdToken`](id_token::IdToken) or an [assertion] only by a policy of its own.

pub mod assertion;
mod audience;
mod claims;
mod client_authentication;
pub mod id_token;
pub mod introspection;
pub mod jwt;
mod lifetime;
pub mod metadata;
mod pkce;
pub mod protected_resource;
mod protocol_error;
pub mod providers;
mod response;
pub mod revocation;
mod stated_type;
pub mod strict_json;
mod subject;
mod token;
pub mod token_check;
pub mod user_info;
mod verified;

pub use claims::{Claims, InvalidClaim};
pub use client_authentication::ClientAuthentication;
pub use pkce::CodeVerifier;
pub use protocol_error::ProtocolError;
pub use token::TokenResponse;
pub use verified::Verified;
