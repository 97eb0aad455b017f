//! [`Cache`]: a verifier that remembers.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use portcullis_core::{AuthError, BearerToken, UserContext, VerifyToken};
use tower_layer::Layer as _;
use tower_service::Service;

use super::{
    CacheConfig, CacheFuture, CacheHandle, CacheLayer,
    entry::Freshness,
    resolve::{Cause, resolve},
    store::Store,
};

/// A [verifier](VerifyToken) that remembers what another one found out. The contract is told in the documentation of the [module](crate::cache).
///
/// A hit takes no lock, allocates nothing and spawns nothing. Must be called within a tokio runtime.
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
    /// A cache around `verifier`, with the defaults: the same as [`CacheLayer`] makes.
    #[must_use]
    pub fn around(verifier: V, config: CacheConfig) -> Self {
        CacheLayer::new(config).layer(verifier)
    }

    pub(super) fn new(verifier: V, store: Arc<Store>) -> Self {
        Self { shared: Arc::new(Shared { verifier, store }) }
    }

    /// A handle for invalidating what is remembered.
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

    /// Always ready: the verifier's own readiness is awaited by the resolution that needs it.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), AuthError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, token: BearerToken) -> CacheFuture {
        let Shared { verifier, store } = &*self.shared;
        let fingerprint = token.fingerprint();
        let now = store.now();
        let found = store.index.look(&fingerprint, |entry| match entry.freshness(now) {
            Freshness::Dead => None,
            freshness => {
                store.note_use(&fingerprint, entry, now);
                Some((freshness, Arc::clone(&entry.context)))
            }
        });
        let resolve = |cause| {
            let resolution = || resolve(Arc::clone(store), verifier.clone(), fingerprint, token, cause);
            store.flights.join(fingerprint, resolution)
        };
        if let Some((freshness, context)) = found.flatten() {
            if freshness == Freshness::Stale {
                store.telemetry.stale.increment(1);
                // Nobody waits for it, unless the context is no good any more before it is done.
                drop(resolve(Cause::Revalidation));
            } else {
                store.telemetry.hit.increment(1);
            }
            return CacheFuture::ready(Ok(context));
        }
        if let Some(error) = store.rejections.find(&fingerprint) {
            store.telemetry.rejected.increment(1);
            return CacheFuture::ready(Err(error));
        }
        store.telemetry.miss.increment(1);
        CacheFuture::waiting(resolve(Cause::Miss))
    }
}
