//! Verifiers: tower services from a [bearer token](portcullis_core::BearerToken) to a [user](portcullis_core::UserContext).

pub mod cache;

pub use cache::{Cache, CacheConfig, CacheFuture, CacheHandle, CacheLayer};
