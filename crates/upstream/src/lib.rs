//! A user's tokens at an upstream provider: the client of the provider, the login of a user, and the verifier that resolves
//! a token of this server to the user and a fresh token of the provider. The tokens are refreshed by `portcullis_refresh`.

mod login;
mod outage;
mod provider_client;
mod token_endpoint;
mod upstream_verifier;

pub use login::{Login, LoginError, LoginErrorKind, LoginStep};
pub use provider_client::{ProfileVerifier, ProviderClient};
pub use upstream_verifier::{UpstreamLayer, UpstreamVerifier};
