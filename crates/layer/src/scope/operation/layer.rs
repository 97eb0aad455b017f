//! [`ToolScopesLayer`]: a layer that checks the scopes of MCP operations.

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use http_body::Body;
use pin_project_lite::pin_project;
use portcullis_core::UserContext;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    OperationPolicy, RequestBody,
    body::ReadBody,
    rule::{Admission, Rule},
};
use crate::{
    ResponseBody,
    drain::{EarlyResponse, close},
    rejection::Rejection,
    scope::ScopeHierarchy,
};

/// A [`Layer`] that applies [`ToolScopes`] to an MCP server, inside [`AuthLayer`](crate::AuthLayer).
///
/// 1. A request without a body passes, such as `GET`, `DELETE` or a preflight: it has no operation.
/// 2. If the request has no user context, the response is 500 and an error is logged.
/// 3. If the body is encoded, in another charset than UTF-8, too large, not JSON-RPC, or ambiguous
///    (see [`operations`](crate::scope::operations)), the response is 400, whatever the method of the request: the operations that the
///    inner service would find are unknown.
/// 4. If the headers `Mcp-Method` and `Mcp-Name` do not match the body, in a protocol version that has them (from
///    2026-07-28), the response is 400 with the JSON-RPC error -32020 of MCP. No decision is based on the headers alone.
/// 5. If the user's scopes do not suffice for all operations of the body, the response is 403, and the challenge contains all scopes
///    that are needed, for a batch too.
/// 6. Otherwise the inner service receives the request with the same bytes.
///
/// Every body is parsed as JSON-RPC, so apply the layer to the MCP endpoint only. If the policy is empty, no body is read.
///
/// It does **not** check responses, messages within an upgraded connection, or the arguments of a tool, and it does not limit the time
/// in which a body arrives.
#[derive(Clone, Debug)]
pub struct ToolScopesLayer {
    policy: OperationPolicy,
    hierarchy: ScopeHierarchy,
    body_limit: usize,
}

impl ToolScopesLayer {
    /// Creates a layer that enforces `policy`.
    #[must_use]
    pub fn new(policy: OperationPolicy) -> Self {
        Self { policy, hierarchy: ScopeHierarchy::new(), body_limit: 4 << 20 }
    }

    /// Sets which scopes imply others. Default: no implications.
    #[must_use]
    pub fn with_hierarchy(mut self, hierarchy: ScopeHierarchy) -> Self {
        self.hierarchy = hierarchy;
        self
    }

    /// Sets the maximum size of a body in bytes; a larger one is rejected. Default: 4 MiB.
    #[must_use]
    pub const fn with_body_limit(mut self, bytes: usize) -> Self {
        self.body_limit = bytes;
        self
    }
}

impl<S> Layer<S> for ToolScopesLayer {
    type Service = ToolScopes<S>;

    fn layer(&self, inner: S) -> ToolScopes<S> {
        let rule = Rule::new(self.policy.clone(), self.hierarchy.clone(), self.body_limit);
        ToolScopes::new(inner, Arc::new(rule))
    }
}

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

pin_project! {
    /// Future for [`ToolScopes`](crate::scope::ToolScopes).
    ///
/// It does nothing before it is polled. Dropping it drops the rest of the body, or the future of the inner service.
    #[must_use = "futures do nothing unless polled"]
    pub struct ToolScopesFuture<S, B>
    where
        S: Service<Request<RequestBody<B>>>,
    {
        #[pin]
        state: State<S, B>,
        rule: Arc<Rule>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, B>
    where
        S: Service<Request<RequestBody<B>>>,
    {
        Classify { arrived: Option<(S, Request<B>)> },
        Read { #[pin] reading: ReadBody<B>, waiting: Option<(S, Parts, Arc<UserContext>)> },
        Call { #[pin] responding: S::Future },
        Rejected { early: EarlyResponse<B, Bytes> },
    }
}

impl<S, B> ToolScopesFuture<S, B>
where
    S: Service<Request<RequestBody<B>>>,
{
    pub(super) const fn new(inner: S, request: Request<B>, rule: Arc<Rule>) -> Self {
        Self { state: State::Classify { arrived: Some((inner, request)) }, rule }
    }
}

impl<S, B, C> Future for ToolScopesFuture<S, B>
where
    S: Service<Request<RequestBody<B>>, Response = Response<C>>,
    B: Body,
{
    type Output = Result<Response<ResponseBody<C>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                // ## Classify => (Read | Call | Rejected)
                //
                // The headers decide whether there is a body, and whether it can be parsed.
                StateProjection::Classify { arrived } => {
                    let (mut inner, request) = arrived.take().expect("polled after completion");
                    match this.rule.classify(&request) {
                        Ok(Admission::Pass) => {
                            let responding = inner.call(request.map(RequestBody::passed));
                            this.state.set(State::Call { responding });
                        }
                        Ok(Admission::ReadBody(user, limit)) => {
                            let (parts, body) = request.into_parts();
                            let reading = ReadBody::new(body, limit);
                            this.state.set(State::Read { reading, waiting: Some((inner, parts, user)) });
                        }
                        Err(rejection) => {
                            let early = EarlyResponse::new(request, rejection.into_response());
                            this.state.set(State::Rejected { early });
                        }
                    }
                }
                // ## Read => (Call | done)
                //
                // The complete body determines all operations, and so all scopes that are needed.
                StateProjection::Read { reading, waiting } => {
                    let read = ready!(reading.poll(cx));
                    let (mut inner, parts, user) = waiting.take().expect("polled after completion");
                    let is_read = read.is_ok();
                    let judged = read.map_err(Rejection::from).and_then(|(bytes, trailers)| {
                        this.rule.authorize(&parts.headers, &bytes, &user)?;
                        Ok(RequestBody::read(bytes, trailers))
                    });
                    match judged {
                        Ok(body) => {
                            let responding = inner.call(Request::from_parts(parts, body));
                            this.state.set(State::Call { responding });
                        }
                        Err(rejection) => {
                            let mut response = rejection.into_response();
                            if !is_read {
                                // The limit for reading the body has been exceeded already.
                                close(&mut response, parts.version);
                            }
                            return Poll::Ready(Ok(response.map(ResponseBody::own)));
                        }
                    }
                }
                // ## Call => done
                StateProjection::Call { responding } => {
                    let response = ready!(responding.poll(cx))?;
                    return Poll::Ready(Ok(response.map(ResponseBody::passed)));
                }
                // ## Rejected => done
                StateProjection::Rejected { early } => {
                    return Pin::new(early).poll(cx).map(|response| Ok(response.map(ResponseBody::own)));
                }
            }
        }
    }
}

impl<S, B> fmt::Debug for ToolScopesFuture<S, B>
where
    S: Service<Request<RequestBody<B>>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToolScopesFuture").finish_non_exhaustive()
    }
}
