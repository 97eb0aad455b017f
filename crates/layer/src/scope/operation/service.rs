//! [`ToolScopes`]: middleware that checks the scopes of MCP operations.

use std::{
    mem,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{RequestBody, ToolScopesFuture, rule::Rule};
use crate::ResponseBody;

/// Middleware that checks the scopes of MCP operations, created by [`ToolScopesLayer`](crate::scope::ToolScopesLayer).
///
/// It is generic over the bodies of requests, which it reads, and of responses, which it passes on.
#[derive(Clone, Debug)]
pub struct ToolScopes<S> {
    inner: S,
    rule: Arc<Rule>,
}

impl<S> ToolScopes<S> {
    pub(super) const fn new(inner: S, rule: Arc<Rule>) -> Self {
        Self { inner, rule }
    }
}

impl<S, B, C> Service<Request<B>> for ToolScopes<S>
where
    S: Service<Request<RequestBody<B>>, Response = Response<C>> + Clone,
    B: Body,
{
    type Response = Response<ResponseBody<C>>;
    type Error = S::Error;
    type Future = ToolScopesFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The service that is ready must be called; its clone, which may not be ready, replaces it.
        let clone = self.inner.clone();
        let inner = mem::replace(&mut self.inner, clone);
        ToolScopesFuture::new(inner, request, Arc::clone(&self.rule))
    }
}
