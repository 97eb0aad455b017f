//! A user's tokens at an upstream provider: the client of the provider, the login of a user, and the verifier that resolves
//! a token of this server to the user and a fresh token of the provider. The tokens are refreshed by `portcullis_refresh`.

mod outage;
mod provider_client;
mod upstream_verifier;

pub use provider_client::{Login, LoginError, LoginErrorKind, LoginStep, ProfileVerifier, ProviderClient};
pub use upstream_verifier::{UpstreamLayer, UpstreamVerifier};
