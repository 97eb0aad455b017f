//! [`CacheLayer`] and [`Cache`]: a verifier that caches the contexts of another one.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use portcullis_core::{AuthError, BearerToken, UserContext, VerifyToken};
use tower_layer::Layer;
use tower_service::Service;
use tracing::Instrument as _;

use super::{
    CacheConfig, CacheFuture, CacheHandle,
    entry::Freshness,
    resolve::{Cause, resolve},
    store::Store,
};

/// Puts a [`Cache`] around a [verifier](portcullis_core::VerifyToken).
#[derive(Clone, Debug, Default)]
pub struct CacheLayer {
    config: CacheConfig,
}

impl CacheLayer {
    /// Creates a layer whose caches are configured by `config`.
    #[must_use]
    pub const fn new(config: CacheConfig) -> Self {
        Self { config }
    }
}

/// Each call creates a separate cache: a context of one verifier is not valid for another one.
impl<V> Layer<V> for CacheLayer {
    type Service = Cache<V>;

    fn layer(&self, verifier: V) -> Cache<V> {
        let store = Arc::new(Store::new(self.config.clone()));
        Cache { shared: Arc::new(Shared { verifier, store }) }
    }
}

/// A [verifier](VerifyToken) that caches the contexts of another one. Its contract is in the documentation of the [module](crate::cache).
///
/// A hit takes no lock, allocates nothing and spawns nothing. It must be called within a tokio runtime.
#[derive(Debug)]
pub struct Cache<V> {
    shared: Arc<Shared<V>>,
}

#[derive(Debug)]
struct Shared<V> {
    verifier: V,
    store: Arc<Store>,
}

impl<V> Cache<V> {
    /// Creates a cache around `verifier`, as [`CacheLayer`] does.
    #[must_use]
    pub fn around(verifier: V, config: CacheConfig) -> Self {
        CacheLayer::new(config).layer(verifier)
    }

    /// Returns a handle that invalidates contexts.
    #[must_use]
    pub fn handle(&self) -> CacheHandle {
        CacheHandle::new(Arc::clone(&self.shared.store))
    }
}

impl<V> Clone for Cache<V> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<V> Service<BearerToken> for Cache<V>
where
    V: VerifyToken<Future: Send> + Clone + Send + Sync + 'static,
{
    type Response = Arc<UserContext>;
    type Error = AuthError;
    type Future = CacheFuture;

    /// Always ready: the resolution that needs the verifier waits for its readiness.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), AuthError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, token: BearerToken) -> CacheFuture {
        let Shared { verifier, store } = &*self.shared;
        let fingerprint = token.fingerprint();
        let now = store.now();
        let found = store.index.get(&fingerprint, |entry| match entry.freshness(now) {
            Freshness::Expired => None,
            freshness => {
                store.touch(&fingerprint, entry, now);
                Some((freshness, Arc::clone(&entry.context)))
            }
        });
        let resolve = |cause| {
            store.resolutions.join(fingerprint, || {
                let span = tracing::debug_span!("portcullis.resolve", token = ?fingerprint);
                resolve(Arc::clone(store), verifier.clone(), fingerprint, token, cause).instrument(span)
            })
        };
        if let Some((freshness, context)) = found.flatten() {
            if freshness == Freshness::Stale {
                store.telemetry.stale.increment(1);
                // No caller waits for the revalidation unless the context expires before it ends.
                drop(resolve(Cause::Revalidation));
            } else {
                store.telemetry.hit.increment(1);
            }
            return CacheFuture::ready(Ok(context));
        }
        if let Some(error) = store.refusals.get(&fingerprint) {
            store.telemetry.rejected.increment(1);
            return CacheFuture::ready(Err(error));
        }
        store.telemetry.miss.increment(1);
        CacheFuture::waiting(resolve(Cause::Miss))
    }
}
