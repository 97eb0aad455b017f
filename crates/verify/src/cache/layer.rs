//! [`CacheLayer`]: puts a cache around a verifier.

use std::sync::Arc;

use tower_layer::Layer;

use super::{Cache, CacheConfig, store::Store};

/// Puts a [`Cache`] around a [verifier](portcullis_core::VerifyToken).
#[derive(Clone, Debug, Default)]
pub struct CacheLayer {
    config: CacheConfig,
}

impl CacheLayer {
    /// A layer that makes caches so configured.
    #[must_use]
    pub const fn new(config: CacheConfig) -> Self {
        Self { config }
    }
}

/// Each call makes a cache of its own: what one verifier accepted means nothing to another.
impl<V> Layer<V> for CacheLayer {
    type Service = Cache<V>;

    fn layer(&self, verifier: V) -> Cache<V> {
        Cache::new(verifier, Arc::new(Store::new(self.config.clone())))
    }
}
