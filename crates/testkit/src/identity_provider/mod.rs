//! [`IdentityProvider`]: a fake authorization server.

mod answer;
mod endpoint;
mod fault;
mod forgeries;
mod grants;
mod id_token;
mod keys;
mod login;
mod metadata;
mod provider;
mod respond;
mod seen_request;
mod serve;
mod service;
mod state;
mod token;
mod token_endpoint;
mod vendor;

pub use endpoint::Endpoint;
pub use fault::{Disconnected, Fault};
pub use grants::{IssuedGrant, TokenPolicy};
pub use keys::KeyAlgorithm;
pub use login::{AuthorizationResponse, LoginPolicy};
pub use provider::IdentityProvider;
pub use seen_request::SeenRequest;
pub use serve::RunningIdentityProvider;
pub use token::TokenBuilder;
pub use vendor::{ErrorClass, Vendor};
