//! [`AuthLayer`] and [`Auth`]: the layer, and the middleware that authenticates requests; and [`ResponseFuture`], the future of one
//! request.

use std::{
    fmt, mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use portcullis_core::{BearerToken, VerifyToken};
use tower_layer::Layer;
use tower_service::Service;

use super::{
    AuthConfig,
    gate::{Admission, Gate, RequestInfo},
};
use crate::{drain::EarlyResponse, response::ResponseBody};

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

    const fn from_parts(inner: S, verifier: V, gate: Arc<Gate>) -> Self {
        Self { inner, verifier, gate }
    }
}

impl<S, V, B, C> Service<Request<B>> for Auth<S, V>
where
    S: Service<Request<B>, Response = Response<C>> + Clone,
    V: VerifyToken<Future: Send> + Clone + Send + 'static,
    B: Body,
    C: Body<Data: From<Bytes>>,
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

pin_project! {
    /// Future for [`Auth`](crate::Auth).
    ///
    /// It does nothing before it is polled. Dropping it drops the future of the inner service or of the verifier, but not a resolution
    /// that other requests share.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, V, B>
    where
        S: Service<Request<B>>,
        V: Service<BearerToken>,
    {
        inner: S,
        verifier: V,
        // The request stays in its place until the inner service is called: requests are large, and moves would dominate the
        // cost of a cache hit.
        request: Option<Request<B>>,
        gate: Arc<Gate>,
        #[pin]
        state: State<S::Future, V::Future, B>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<R, W, B> {
        Classify,
        Ready { token: Option<BearerToken> },
        Verify { #[pin] verifying: W, token: Option<BearerToken> },
        Call { #[pin] responding: R, info: Option<RequestInfo> },
        Respond { early: EarlyResponse<B, Bytes> },
    }
}

impl<S, V, B> ResponseFuture<S, V, B>
where
    S: Service<Request<B>>,
    V: Service<BearerToken>,
{
    const fn new(inner: S, verifier: V, request: Request<B>, gate: Arc<Gate>) -> Self {
        Self { inner, verifier, request: Some(request), gate, state: State::Classify }
    }
}

impl<S, V, B, C> Future for ResponseFuture<S, V, B>
where
    S: Service<Request<B>, Response = Response<C>>,
    V: VerifyToken<Future: Send> + Clone + Send + 'static,
    B: Body,
    C: Body,
{
    type Output = Result<Response<ResponseBody<C>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                // ## Classify => (Ready | Call | Respond)
                //
                // The request alone decides whether it needs a token and has one.
                StateProjection::Classify => match this.gate.classify(request_mut(this.request)) {
                    Admission::Verify(token) => this.state.set(State::Ready { token: Some(token) }),
                    Admission::Pass => {
                        let responding = this.inner.call(take_request(this.request));
                        this.state.set(State::Call { responding, info: None });
                    }
                    Admission::Metadata => {
                        let response = this.gate.metadata(request_mut(this.request).method());
                        this.state
                            .set(State::Respond { early: EarlyResponse::new(take_request(this.request), response) });
                    }
                    Admission::NotFound => {
                        let early = EarlyResponse::new(take_request(this.request), Gate::not_found());
                        this.state.set(State::Respond { early });
                    }
                    Admission::Reject(error) => {
                        let response = this.gate.reject(error);
                        this.state
                            .set(State::Respond { early: EarlyResponse::new(take_request(this.request), response) });
                    }
                },
                // ## Ready => (Verify | Respond)
                //
                // The request that needs the verifier awaits its readiness.
                StateProjection::Ready { token } => match ready!(this.verifier.poll_ready(cx)) {
                    Ok(()) => {
                        let token = token.take().expect("polled after completion");
                        let of_stream = this.gate.token_of_stream(&token);
                        let verifying = this.verifier.call(token);
                        this.state.set(State::Verify { verifying, token: of_stream });
                    }
                    Err(error) => {
                        let response = this.gate.reject(error);
                        this.state
                            .set(State::Respond { early: EarlyResponse::new(take_request(this.request), response) });
                    }
                },
                // ## Verify => (Call | Respond)
                //
                // The verifier resolves the token. A cached token is resolved at the first poll.
                StateProjection::Verify { verifying, token } => {
                    let verified = ready!(verifying.poll(cx)).map_err(Into::into);
                    match verified.and_then(|user| this.gate.authorize(request_mut(this.request), user, token.take())) {
                        Ok(info) => {
                            let responding = this.inner.call(take_request(this.request));
                            this.state.set(State::Call { responding, info: Some(info) });
                        }
                        Err(refusal) => {
                            let response = this.gate.reject(refusal);
                            this.state.set(State::Respond {
                                early: EarlyResponse::new(take_request(this.request), response),
                            });
                        }
                    }
                }
                // ## Call => done
                StateProjection::Call { responding, info } => {
                    let response = ready!(responding.poll(cx))?;
                    return Poll::Ready(Ok(this.gate.finish(response, info.take(), this.verifier)));
                }
                // ## Respond => done
                //
                // The layer responds itself, as soon as the connection can be used again.
                StateProjection::Respond { early } => {
                    return Pin::new(early).poll(cx).map(|response| Ok(response.map(ResponseBody::own)));
                }
            }
        }
    }
}

fn request_mut<B>(request: &mut Option<Request<B>>) -> &mut Request<B> {
    request.as_mut().expect("polled after completion")
}

fn take_request<B>(request: &mut Option<Request<B>>) -> Request<B> {
    request.take().expect("polled after completion")
}

impl<S, V, B> fmt::Debug for ResponseFuture<S, V, B>
where
    S: Service<Request<B>>,
    V: Service<BearerToken>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
