//! [`Drain`]: middleware that drains unread request bodies.

use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{
    DrainBody, DrainFuture,
    rest::{expects_continue, is_needed},
};

/// Middleware that drains the request body that a service has not read, created by [`DrainLayer`](super::DrainLayer).
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
