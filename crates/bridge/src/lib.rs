//! An OAuth authorization server for MCP clients, with login at any provider.
//!
//! This crate is an implementation detail of [`portcullis`](https://docs.rs/portcullis): depend on `portcullis`, which re-exports it as
//! `portcullis::bridge`.
//!
//! MCP clients require an authorization server with metadata, registration, PKCE, resource indicators and rotation. GitHub, Google,
//! Atlassian, Salesforce and most corporate servers do not offer all of these. A [`Bridge`] does: it logs users in at the provider,
//! stores their grants there ([`portcullis_refresh`]), and issues tokens of its own. [`BridgeVerifier`] verifies these tokens.

mod access_tokens;
mod branding;
mod bridge;
mod clients;
pub mod collections;
mod config;
mod endpoints;
mod limits;
mod login;
mod pages;
mod parameters;
mod response;
mod session;
mod signing_keys;
mod stored_keys;
mod sweep;
mod telemetry;
mod token;
mod verifier;

pub use branding::{Branding, InvalidBranding};
pub use bridge::{Bridge, BridgeBuilder};
pub use clients::{
    Client, ClientMetadataDocumentPolicy, GrantType, InvalidClient, InvalidRedirectUri, RedirectUri, RegistrationPolicy,
};
pub use config::{BridgeConfig, IntrospectionClient, ScopePolicy, UpstreamRevocation};
pub use portcullis_oauth::jwt::InvalidSigningKey;
pub use session::{SessionAdministration, SessionSummary};
pub use signing_keys::{AccessTokenKind, SigningKeys};
pub use token::TrustedIssuer;
pub use verifier::BridgeVerifier;
