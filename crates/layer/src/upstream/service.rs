//! [`RequireUpstream`]: middleware that waits for a fresh upstream token.

use std::{
    mem,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Method, Request, Response};
use http_body::Body;
use portcullis_core::UserContext;
use tower_service::Service;

use super::RequireUpstreamFuture;
use crate::{ResponseBody, rejection::Rejection};

/// Middleware that waits for a fresh upstream token, created by [`RequireUpstreamLayer`](crate::RequireUpstreamLayer).
#[derive(Clone, Debug)]
pub struct RequireUpstream<S> {
    inner: S,
}

impl<S> RequireUpstream<S> {
    pub(super) const fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S, B, C> Service<Request<B>> for RequireUpstream<S>
where
    S: Service<Request<B>, Response = Response<C>> + Clone,
    B: Body,
{
    type Response = Response<ResponseBody<C>>;
    type Error = S::Error;
    type Future = RequireUpstreamFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if request.method() != Method::POST {
            return RequireUpstreamFuture::call(self.inner.call(request));
        }
        let Some(user) = request.extensions().get::<Arc<UserContext>>() else {
            return RequireUpstreamFuture::rejected(request, Rejection::MissingUser);
        };
        let asking = user.upstream().access_token();
        // The service that is ready must be called; its clone, which may not be ready, replaces it.
        let clone = self.inner.clone();
        let inner = mem::replace(&mut self.inner, clone);
        RequireUpstreamFuture::ask(asking, inner, request)
    }
}
