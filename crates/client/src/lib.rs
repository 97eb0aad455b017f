//! Access tokens for outgoing requests: [`TokenManager`] obtains each token once for any number of concurrent callers, and
//! [`TokenLayer`] attaches it to the requests of any HTTP client that is a tower service.
//!
//! # Contract
//!
//! To be written with the crate.

#[cfg(any(feature = "reqwest", feature = "reqwest-middleware", feature = "rmcp", feature = "rmcp-auth"))]
pub mod adapters;
mod attempt;
mod binding;
mod discovery;
mod dpop;
mod error;
mod grant;
pub mod grants;
mod login;
mod login_flight;
mod loopback;
mod manager;
mod mcp_login;
mod metadata_cache;
mod registration;
mod resolution;
mod snapshot;
mod target;
mod telemetry;
mod token_endpoint;
mod token_layer;
mod token_service;
mod token_source;

pub use binding::Binding;
pub use discovery::{Discovery, DiscoveryError};
pub use dpop::DpopKey;
pub use error::{AcquireError, GrantError, GrantErrorKind};
pub use grant::{Grant, GrantFuture};
pub use login::LoginError;
pub use loopback::{InvalidRedirectUri, UserAgent};
pub use manager::{TokenManager, TokenManagerBuilder};
pub use mcp_login::McpLogin;
pub use portcullis_core::{AccessToken, Challenge, Generation, Issuer, ResourceUri, ScopeSet};
pub use registration::{NoClientError, REGISTRATIONS};
pub use resolution::BINDINGS;
pub use snapshot::{Snapshot, TokenState};
pub use token_endpoint::{ClientCredential, TokenEndpoint};
pub use token_layer::{ReplayPolicy, TokenLayer};
pub use token_service::{ClientError, ResponseFuture, TokenService};
pub use token_source::{TokenPlace, TokenSource};
