//! [`CacheLayer`], [`Cache`] and [`CacheFuture`]: a verifier that caches the contexts of another one; and [`CacheHandle`], which
//! invalidates them.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use portcullis_core::{AuthError, BearerToken, Issuer, Reason, UserContext, VerifyToken};
use portcullis_remote::SharedTask;
use tower_layer::Layer;
use tower_service::Service;
use tracing::Instrument as _;

use super::{
    CacheConfig,
    entry::Freshness,
    registry::Target,
    resolve::{Cause, resolve},
    store::{Outcome, Store},
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
        CacheHandle { store: Arc::clone(&self.shared.store) }
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

/// Future for [`Cache`](super::Cache). Dropping it does not cancel the resolution that it waits for.
#[must_use = "futures do nothing unless polled"]
pub struct CacheFuture(State);

enum State {
    /// Empty once it has been returned.
    Ready(Option<Outcome>),
    Waiting(SharedTask<Outcome>),
}

impl CacheFuture {
    const fn ready(outcome: Outcome) -> Self {
        Self(State::Ready(Some(outcome)))
    }

    const fn waiting(resolution: SharedTask<Outcome>) -> Self {
        Self(State::Waiting(resolution))
    }
}

impl Future for CacheFuture {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        match &mut self.0 {
            State::Ready(outcome) => Poll::Ready(outcome.take().expect("a future is not polled after it was done")),
            State::Waiting(resolution) => {
                let outcome = ready!(Pin::new(resolution).poll(cx));
                // A context that was invalidated after its resolution must not be returned to a caller that is still waiting.
                Poll::Ready(outcome.and_then(|context| {
                    if context.revocation().is_revoked() { Err(Reason::Revoked.into()) } else { Ok(context) }
                }))
            }
        }
    }
}

impl fmt::Debug for CacheFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheFuture").finish_non_exhaustive()
    }
}

/// Invalidates cached user contexts immediately: hits stop, running resolutions ask again, open response streams end.
///
/// It affects this process only. An invalidated token is resolved again when it is presented again: revoke it at its
/// authorization server first.
#[derive(Clone, Debug)]
pub struct CacheHandle {
    store: Arc<Store>,
}

impl CacheHandle {
    /// Invalidates what is cached about one token, refusals included, in each encoding in which it was presented: the
    /// [signed part](BearerToken::signed_fingerprint) of a JWT identifies it, whatever its signature is.
    pub async fn invalidate_token(&self, token: &BearerToken) {
        let signed = token.signed_fingerprint();
        self.invalidate(&Target::Token(signed)).await;
        self.store.remove(&token.fingerprint()).await;
        self.store.refusals.remove_token(&signed);
    }

    /// Invalidates every context of one user, whatever the token and the client are.
    pub async fn invalidate_user(&self, issuer: &Issuer, subject: &str) {
        self.invalidate(&Target::User(issuer.clone(), subject.into())).await;
    }

    /// Invalidates every context of one issuer.
    pub async fn invalidate_issuer(&self, issuer: &Issuer) {
        self.invalidate(&Target::Issuer(issuer.clone())).await;
    }

    /// Invalidates everything, refusals included.
    pub async fn invalidate_all(&self) {
        self.store.refusals.clear();
        self.invalidate(&Target::Everything).await;
    }

    async fn invalidate(&self, target: &Target) {
        // After this line no hit is possible; the rest frees memory.
        let revoked = self.store.registry.revoke(target);
        self.store.telemetry.invalidated.increment(revoked.len() as u64);
        for fingerprint in revoked {
            self.store.remove(&fingerprint).await;
        }
    }

    /// Returns the number of cached contexts.
    pub async fn contexts(&self) -> u64 {
        self.store.len().await
    }
}
