//! Draining of unread request bodies, so that the connection can be used for the next request.
//!
//! A server of HTTP/1.1 that responds before it has read the body must read the body nevertheless or close the connection
//! ([RFC 9112 section 9.3](https://www.rfc-editor.org/rfc/rfc9112#section-9.3)). hyper closes it without announcing that in the response,
//! so that the next request of the client fails. The layers of this crate therefore drain the body up to a limit before they reject a
//! request, and send `Connection: close` for longer bodies. [`DrainLayer`] does the same for any other service.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Buf as _;
use http::{
    HeaderMap, HeaderValue, Request, Response, Version,
    header::{CONNECTION, EXPECT},
};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::{
    sync::oneshot::{self, Receiver, Sender, error::TryRecvError},
    time::{Sleep, sleep},
};
use tower_layer::Layer;
use tower_service::Service;

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
    const fn new(inner: S) -> Self {
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
    const fn passed(responding: F) -> Self {
        Self { state: State::Call { responding, rest: None, expects_continue: false } }
    }

    const fn watched(responding: F, rest: Receiver<UnreadBody<B>>, expects_continue: bool) -> Self {
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

/// The rest of a body that a service has not read.
struct UnreadBody<B> {
    body: B,
    /// Whether the service has begun to read the body.
    is_begun: bool,
}

/// The request body of [`Drain`]: it passes the frames on. If it is dropped before its end, the rest is drained before the
/// response is sent.
pub struct DrainBody<B> {
    /// `None` after it was dropped.
    body: Option<B>,
    is_begun: bool,
    /// Receives the rest; `None` if there is no rest.
    owner: Option<Sender<UnreadBody<B>>>,
}

impl<B> DrainBody<B> {
    /// Creates a body whose rest is not drained.
    const fn passed(body: B) -> Self {
        Self { body: Some(body), is_begun: false, owner: None }
    }

    /// Creates a body that sends its rest to the receiver.
    fn watched(body: B) -> (Self, Receiver<UnreadBody<B>>) {
        let (owner, rest) = oneshot::channel();
        (Self { body: Some(body), is_begun: false, owner: Some(owner) }, rest)
    }
}

impl<B: Body + Unpin> Body for DrainBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.get_mut();
        this.is_begun = true;
        let body = this.body.as_mut().expect("the body is present until it is dropped");
        let frame = ready!(Pin::new(&mut *body).poll_frame(cx));
        if frame.is_none() || body.is_end_stream() {
            this.owner = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

impl<B> Drop for DrainBody<B> {
    fn drop(&mut self) {
        if let (Some(owner), Some(body)) = (self.owner.take(), self.body.take()) {
            // If the request has ended, the receiver is gone and nothing is drained.
            drop(owner.send(UnreadBody { body, is_begun: self.is_begun }));
        }
    }
}

impl<B> fmt::Debug for DrainBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DrainBody").field("is_begun", &self.is_begun).finish_non_exhaustive()
    }
}

/// A response that does not need the request body, but waits until the body is drained within the limits of [`Rest`].
pub(crate) struct EarlyResponse<B, C>(Pin<Box<Waiting<B, C>>>);

pin_project! {
    struct Waiting<B, C> {
        response: Option<Response<C>>,
        // `None` if there is nothing to wait for.
        #[pin]
        rest: Option<Rest<B>>,
    }
}

impl<B: Body, C> EarlyResponse<B, C> {
    /// Creates the response to `request`, whose body has not been read.
    pub(crate) fn new(request: Request<B>, mut response: Response<C>) -> Self {
        let (parts, body) = request.into_parts();
        if !is_needed(parts.version, &body) {
            return Self(Box::pin(Waiting { response: Some(response), rest: None }));
        }
        if expects_continue(&parts.headers) {
            // RFC 9110 section 10.1.1: after a final response instead of `100 Continue`, the client may or may not send the body,
            // and the server cannot know which.
            close(&mut response, parts.version);
            return Self(Box::pin(Waiting { response: Some(response), rest: None }));
        }
        Self::after(body, response)
    }

    /// Creates a response that is sent after the rest of `body`, a body of HTTP/1.
    fn after(body: B, response: Response<C>) -> Self {
        Self(Box::pin(Waiting { response: Some(response), rest: Some(Rest::new(body)) }))
    }
}

impl<B: Body, C> Future for EarlyResponse<B, C> {
    type Output = Response<C>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response<C>> {
        let mut this = self.0.as_mut().project();
        let is_read = match this.rest.as_mut().as_pin_mut() {
            Some(rest) => ready!(rest.poll(cx)),
            None => true,
        };
        // The body is dropped before the response is sent.
        this.rest.set(None);
        let mut response = this.response.take().expect("polled after completion");
        if !is_read {
            close(&mut response, Version::HTTP_11);
        }
        Poll::Ready(response)
    }
}

/// Announces that the connection ends with `response` to a request of `version`. HTTP/2 forbids the header.
pub(crate) fn close<C>(response: &mut Response<C>, version: Version) {
    if version < Version::HTTP_2 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

/// Reports whether `response` announces that the connection ends with it.
fn closes_connection<C>(response: &Response<C>) -> bool {
    response.headers().get(CONNECTION).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close"))
}

impl<B, C> fmt::Debug for EarlyResponse<B, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EarlyResponse").field("rest", &self.0.rest).finish_non_exhaustive()
    }
}

/// The maximum number of bytes that are drained.
const MAX_BYTES: u64 = 256 * 1024;

/// The maximum time that a response waits for the rest of a body.
const MAX_TIME: Duration = Duration::from_secs(1);

/// Reports whether the connection can be used again only after the body has been read. HTTP/2 resets the one stream instead.
fn is_needed<B: Body>(version: Version, body: &B) -> bool {
    version < Version::HTTP_2 && !body.is_end_stream()
}

/// Reports whether the client waits for `100 Continue` before it sends the body. Reading the body would request it.
fn expects_continue(headers: &HeaderMap) -> bool {
    headers.get(EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

pin_project! {
    /// Reads a body and discards its frames. The output is whether the end was reached. It stops after
    /// [`MAX_BYTES`] and after [`MAX_TIME`], and at once if the size hint of the body is larger.
    struct Rest<B> {
        #[pin]
        body: B,
        left: u64,
        // Created when the body is pending for the first time.
        #[pin]
        limit: Option<Sleep>,
    }
}

impl<B> Rest<B> {
    const fn new(body: B) -> Self {
        Self { body, left: MAX_BYTES, limit: None }
    }
}

impl<B: Body> Future for Rest<B> {
    type Output = bool;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        let mut this = self.project();
        loop {
            if this.body.size_hint().lower() > *this.left {
                return Poll::Ready(false);
            }
            match this.body.as_mut().poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    let bytes = frame.data_ref().map_or(0, |data| data.remaining() as u64);
                    let Some(left) = this.left.checked_sub(bytes) else { return Poll::Ready(false) };
                    *this.left = left;
                }
                Poll::Ready(None) => return Poll::Ready(true),
                Poll::Ready(Some(Err(_))) => return Poll::Ready(false),
                Poll::Pending => {
                    if this.limit.is_none() {
                        this.limit.set(Some(sleep(MAX_TIME)));
                    }
                    let limit = this.limit.as_mut().as_pin_mut().expect("set above");
                    ready!(limit.poll(cx));
                    return Poll::Ready(false);
                }
            }
        }
    }
}

impl<B> fmt::Debug for Rest<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rest").field("left", &self.left).finish_non_exhaustive()
    }
}
