//! Verifiers: tower services from a [bearer token](portcullis_core::BearerToken) to a [user](portcullis_core::UserContext).

mod audience_check;
pub mod cache;
mod config_error;
pub mod danger;
mod introspection;
mod issuers;
mod jwt;
mod provider;
mod token_size;
mod user_info;

pub use audience_check::AudienceCheck;
pub use cache::{Cache, CacheConfig, CacheFuture, CacheHandle, CacheLayer};
pub use config_error::ConfigError;
pub use introspection::IntrospectionVerifier;
pub use issuers::{IssuerRouter, IssuerRouterBuilder};
pub use jwt::{JwtFuture, JwtVerifier, KeySource};
pub use portcullis_remote::{RemoteKeySet, discover};
pub use user_info::{UserInfoEndpoint, UserInfoEnrichment, UserInfoLayer, UserInfoVerifier};
