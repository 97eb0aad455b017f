//! Verifiers: tower services from a [bearer token](portcullis_core::BearerToken) to a [user](portcullis_core::UserContext).

mod audience_check;
pub mod cache;
mod introspection;
mod issuer_router;
mod jwt;
mod refusal_log;
mod user_info_verifier;

pub use audience_check::{AudienceCheck, danger};
pub use cache::{Cache, CacheConfig, CacheFuture, CacheHandle, CacheLayer};
pub use introspection::IntrospectionVerifier;
pub use issuer_router::{ConfigError, IssuerRouter, IssuerRouterBuilder};
pub use jwt::{JwtFuture, JwtVerifier, KeySource};
pub use portcullis_remote::{RemoteKeySet, UserInfoEndpoint, discover};
pub use user_info_verifier::{UserInfoEnrichment, UserInfoLayer, UserInfoVerifier};
