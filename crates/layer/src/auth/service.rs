//! [`Auth`]: the gate in front of a service.

use std::{
    mem,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use http_body::Body;
use portcullis_core::VerifyToken;
use tower_layer::Layer as _;
use tower_service::Service;

use super::{AuthConfig, AuthLayer, ResponseFuture, gate::Gate};
use crate::ResponseBody;

/// The gate in front of a service; made by [`AuthLayer`].
///
/// Generic over the bodies of requests, which it reads only to drop them (see [`drain`](crate::drain)), and of responses, which it never holds up. Its readiness is
/// that of the inner service; the verifier's is awaited by the request that needs it.
#[derive(Clone, Debug)]
pub struct Auth<S, V> {
    inner: S,
    verifier: V,
    gate: Arc<Gate>,
}

impl<S, V> Auth<S, V> {
    /// The gate before `inner`, for use without a [`Layer`](tower_layer::Layer).
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
        // The service that was made ready is the one to call; its clone, which is not, stays behind.
        let clone = self.inner.clone();
        let inner = mem::replace(&mut self.inner, clone);
        ResponseFuture::new(inner, self.verifier.clone(), request, Arc::clone(&self.gate))
    }
}
