//! [`DrainLayer`]: a layer that drains the request body that a service has not read.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Request, Response, Version};
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::sync::oneshot::{Receiver, error::TryRecvError};
use tower_layer::Layer;
use tower_service::Service;

use super::{
    DrainBody, EarlyResponse,
    body::UnreadBody,
    close,
    early::{closes_connection, expects_continue, is_needed},
};

/// A [`Layer`] that drains the request body that a service has not read, up to 256 KiB and for at most 1 s, before the response is sent.
/// If the body is longer, the response has `Connection: close`.
///
/// Apply it outside of all services that may respond without reading the body: routers that respond with 404 or 405, checks of `Host`,
/// limits. [`AuthLayer`](crate::AuthLayer) and the other layers of this crate drain the body before their own rejections without it.
///
/// Requests without a body, and those over HTTP/2, pass unchanged.
///
/// It does **not** limit the time that the service takes to read a body, nor does it change how a server closes a connection. A client
/// that sends a large body reads the response before the connection is reset only if the server continues to read for a while
/// ([RFC 9112 section 9.6](https://www.rfc-editor.org/rfc/rfc9112#section-9.6)), which hyper alone does not.
#[derive(Clone, Copy, Debug, Default)]
pub struct DrainLayer(());

impl DrainLayer {
    /// Creates the layer. It has no settings.
    #[must_use]
    pub const fn new() -> Self {
        Self(())
    }
}

impl<S> Layer<S> for DrainLayer {
    type Service = Drain<S>;

    fn layer(&self, inner: S) -> Drain<S> {
        Drain::new(inner)
    }
}

/// Middleware that drains the request body that a service has not read, created by [`DrainLayer`].
#[derive(Clone, Debug)]
pub struct Drain<S> {
    inner: S,
}

impl<S> Drain<S> {
    pub(super) const fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S, B, C> Service<Request<B>> for Drain<S>
where
    S: Service<Request<DrainBody<B>>, Response = Response<C>>,
    B: Body + Unpin,
{
    type Response = Response<C>;
    type Error = S::Error;
    type Future = DrainFuture<S::Future, B, C>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if !is_needed(request.version(), request.body()) {
            return DrainFuture::passed(self.inner.call(request.map(DrainBody::passed)));
        }
        let expects_continue = expects_continue(request.headers());
        let (parts, body) = request.into_parts();
        let (body, rest) = DrainBody::watched(body);
        DrainFuture::watched(self.inner.call(Request::from_parts(parts, body)), rest, expects_continue)
    }
}

pin_project! {
    /// Future for [`Drain`].
    #[must_use = "futures do nothing unless polled"]
    pub struct DrainFuture<F, B, C> {
        #[pin]
        state: State<F, B, C>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F, B, C> {
        Call { #[pin] responding: F, rest: Option<Receiver<UnreadBody<B>>>, expects_continue: bool },
        Drain { early: EarlyResponse<B, C> },
    }
}

impl<F, B, C> DrainFuture<F, B, C> {
    pub(super) const fn passed(responding: F) -> Self {
        Self { state: State::Call { responding, rest: None, expects_continue: false } }
    }

    pub(super) const fn watched(responding: F, rest: Receiver<UnreadBody<B>>, expects_continue: bool) -> Self {
        Self { state: State::Call { responding, rest: Some(rest), expects_continue } }
    }
}

impl<F, B, C, E> Future for DrainFuture<F, B, C>
where
    F: Future<Output = Result<Response<C>, E>>,
    B: Body,
{
    type Output = Result<Response<C>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            match state.as_mut().project() {
                // ## Call => (Drain | done)
                StateProjection::Call { responding, rest, expects_continue } => {
                    let mut response = ready!(responding.poll(cx))?;
                    let Some(mut rest) = rest.take() else { return Poll::Ready(Ok(response)) };
                    // An inner layer has drained the body up to its limit, or the service ends the connection itself.
                    if closes_connection(&response) {
                        return Poll::Ready(Ok(response));
                    }
                    match rest.try_recv() {
                        // The body was read to its end.
                        Err(TryRecvError::Closed) => return Poll::Ready(Ok(response)),
                        // The client still waits for `100 Continue`, and may or may not send the body after this response.
                        Ok(left) if *expects_continue && !left.is_begun => {
                            close(&mut response, Version::HTTP_11);
                            return Poll::Ready(Ok(response));
                        }
                        Ok(left) => state.set(State::Drain { early: EarlyResponse::after(left.body, response) }),
                        // A task of the service is still reading the body, and may drop it at any time.
                        Err(TryRecvError::Empty) => {
                            close(&mut response, Version::HTTP_11);
                            return Poll::Ready(Ok(response));
                        }
                    }
                }
                // ## Drain => done
                StateProjection::Drain { early } => return Pin::new(early).poll(cx).map(Ok),
            }
        }
    }
}

impl<F, B, C> fmt::Debug for DrainFuture<F, B, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DrainFuture").finish_non_exhaustive()
    }
}
