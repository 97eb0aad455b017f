//! Authorization servers by vendor: what is asked of each, in its own format, and what its answers mean.
//!
//! A [`Provider`] is data and pure functions, like everything here: it sends nothing and knows no time. What vendors have in common
//! is in the files named after the messages; what is peculiar to one is in the file named after it.

mod atlassian;
mod authorization;
mod authorization_response;
mod github;
mod google;
mod identity;
mod keycloak;
mod oidc;
mod profile;
mod provider;
mod rotation;
mod salesforce;
mod token_refusal;
mod token_request;
mod token_response;
mod vendor;

pub use authorization::AuthorizationRequest;
pub use authorization_response::{AuthorizationRefusal, AuthorizationResponse, InvalidAuthorizationResponse};
pub use profile::Profile;
pub use provider::Provider;
pub use rotation::Rotation;
