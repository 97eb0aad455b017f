//! Verifiers: tower services from a [bearer token](portcullis_core::BearerToken) to a [user](portcullis_core::UserContext).

pub mod cache;
mod discovery;
mod jwt;
mod key_set;

pub use cache::{Cache, CacheConfig, CacheFuture, CacheHandle, CacheLayer};
pub use jwt::{JwtFuture, JwtVerifier, Keys};
pub use key_set::RemoteKeySet;
