//! [`AuthLayer`] and [`Auth`]: the layer, and the middleware that authenticates requests.

use std::{
    mem,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use http_body::Body;
use portcullis_core::VerifyToken;
use tower_layer::Layer;
use tower_service::Service;

use super::{AuthConfig, ResponseFuture, gate::Gate};
use crate::ResponseBody;

/// A [`Layer`] that applies [`Auth`]: `.layer(AuthLayer::new(cfg))`.
///
/// All services under one layer share its cache, sessions and metrics. Install a metrics recorder before you create the layer.
#[derive(Debug)]
pub struct AuthLayer<V> {
    verifier: V,
    gate: Arc<Gate>,
}

impl<V> AuthLayer<V> {
    /// Creates a layer from `config`.
    #[must_use]
    pub fn new(config: AuthConfig<V>) -> Self {
        let (verifier, gate) = Gate::new(config);
        Self { verifier, gate: Arc::new(gate) }
    }
}

impl<V: Clone> Clone for AuthLayer<V> {
    fn clone(&self) -> Self {
        Self { verifier: self.verifier.clone(), gate: Arc::clone(&self.gate) }
    }
}

impl<S, V: Clone> Layer<S> for AuthLayer<V> {
    type Service = Auth<S, V>;

    fn layer(&self, inner: S) -> Auth<S, V> {
        Auth::from_parts(inner, self.verifier.clone(), Arc::clone(&self.gate))
    }
}

/// Middleware that authenticates requests, created by [`AuthLayer`].
///
/// It is generic over the bodies of requests, which it reads only to discard them (see [`drain`](crate::drain)), and of responses, which
/// it does not delay. It is ready when the inner service is ready; the verifier's readiness is awaited by the request that needs it.
#[derive(Clone, Debug)]
pub struct Auth<S, V> {
    inner: S,
    verifier: V,
    gate: Arc<Gate>,
}

impl<S, V> Auth<S, V> {
    /// Applies the middleware to `inner` without a [`Layer`](tower_layer::Layer).
    #[must_use]
    pub fn new(inner: S, config: AuthConfig<V>) -> Self
    where
        V: Clone,
    {
        AuthLayer::new(config).layer(inner)
    }

    pub(super) const fn from_parts(inner: S, verifier: V, gate: Arc<Gate>) -> Self {
        Self { inner, verifier, gate }
    }
}

impl<S, V, B, C> Service<Request<B>> for Auth<S, V>
where
    S: Service<Request<B>, Response = Response<C>> + Clone,
    V: VerifyToken<Future: Send> + Clone + Send + 'static,
    B: Body,
    C: Body<Data: From<bytes::Bytes>>,
{
    type Response = Response<ResponseBody<C>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, V, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The service that is ready must be called; its clone, which may not be ready, replaces it.
        let clone = self.inner.clone();
        let inner = mem::replace(&mut self.inner, clone);
        ResponseFuture::new(inner, self.verifier.clone(), request, Arc::clone(&self.gate))
    }
}
