//! The bridge: an OAuth authorization server for MCP clients, with login at any provider.
//!
//! MCP clients expect an authorization server with metadata, registration, PKCE, resource indicators and rotation; GitHub, Google,
//! Atlassian, Salesforce and most corporate servers are not that. A [`Bridge`] is: it logs users in at the provider, keeps what they
//! allowed there ([`portcullis_grants`]), and issues tokens of its own. [`BridgeVerifier`] makes users of them.

mod access_tokens;
mod answer;
mod bridge;
mod clients;
mod config;
mod endpoints;
mod grants;
mod inner;
mod introspection_client;
mod limits;
mod login;
mod oauth_error;
mod pages;
mod parameters;
mod scope_policy;
mod session;
mod sweep;
mod telemetry;
mod urls;
mod user_claims;
mod verifier;

pub use access_tokens::{AccessTokenKind, InvalidSigningKey, SigningKeys};
pub use bridge::Bridge;
pub use clients::{
    Client, ClientMetadataDocumentPolicy, GrantType, InvalidClient, InvalidRedirectUri, RedirectUri, RegistrationPolicy,
};
pub use config::BridgeConfig;
pub use grants::TrustedIssuer;
pub use introspection_client::IntrospectionClient;
pub use scope_policy::ScopePolicy;
pub use verifier::BridgeVerifier;
