//! [`IdentityProvider`]: a fake authorization server.

mod clients;
mod endpoint;
mod fault;
mod grants;
mod keys;
mod login;
mod messages;
mod provider;
mod respond;
mod serve;
mod snapshot;
mod state;
mod token;
mod token_endpoint;
mod vendor;

pub use endpoint::Endpoint;
pub use fault::{Disconnected, Fault};
pub use grants::{IssuedGrant, TokenPolicy};
pub use keys::KeyAlgorithm;
pub use login::{AuthorizationResponse, LoginPolicy};
pub use messages::SeenRequest;
pub use provider::IdentityProvider;
pub use serve::RunningIdentityProvider;
pub use token::TokenBuilder;
pub use vendor::{ErrorClass, Vendor};
