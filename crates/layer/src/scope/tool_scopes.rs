//! [`ToolScopesLayer`]: a layer that checks the scopes of MCP operations, and the request bodies that it reads and passes on.

use std::{
    fmt, mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BufMut, Bytes};
use http::{HeaderMap, Request, Response, request::Parts};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use portcullis_core::{AuthError, Reason, UserContext};
use tower_layer::Layer;
use tower_service::Service;

use super::policy::{Admission, OperationPolicy, Rule, ScopeHierarchy};
use crate::{
    ResponseBody,
    drain::{EarlyResponse, close},
    response::Rejection,
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
    const fn new(inner: S, rule: Arc<Rule>) -> Self {
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
    const fn new(inner: S, request: Request<B>, rule: Arc<Rule>) -> Self {
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

pin_project! {
    /// Reads a body up to a limit. Frames are joined as they arrive, so that many small frames take no more memory than one, and no more
    /// memory is reserved than the size hint of the body.
    #[derive(Debug)]
    struct ReadBody<B> {
        #[pin]
        body: B,
        bytes: Vec<u8>,
        trailers: Option<HeaderMap>,
        limit: usize,
    }
}

impl<B> ReadBody<B> {
    fn new(body: B, limit: usize) -> Self {
        Self { body, bytes: Vec::new(), trailers: None, limit }
    }
}

impl<B: Body> Future for ReadBody<B> {
    type Output = Result<(Bytes, Option<HeaderMap>), AuthError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let room = *this.limit - this.bytes.len();
            // A body whose size hint exceeds the limit is not read.
            if this.body.size_hint().lower() > room as u64 {
                return Poll::Ready(Err(AuthError::new(Reason::BodyTooLarge)));
            }
            match ready!(this.body.as_mut().poll_frame(cx)).map(|frame| frame.map(Frame::into_data)) {
                None => {
                    let mut bytes = mem::take(this.bytes);
                    bytes.shrink_to_fit();
                    return Poll::Ready(Ok((bytes.into(), this.trailers.take())));
                }
                Some(Ok(Ok(data))) if data.remaining() > room => {
                    return Poll::Ready(Err(AuthError::new(Reason::BodyTooLarge)));
                }
                Some(Ok(Ok(data))) => {
                    let rest = this.body.size_hint().exact().and_then(|rest| usize::try_from(rest).ok());
                    let most = rest.map_or(room, |rest| data.remaining().saturating_add(rest).min(room));
                    make_room(this.bytes, data.remaining(), most);
                    this.bytes.put(data);
                }
                Some(Ok(Err(frame))) => *this.trailers = frame.into_trailers().ok(),
                Some(Err(_)) => {
                    let error = AuthError::new(Reason::MalformedBody).with_source("the body ended early");
                    return Poll::Ready(Err(error));
                }
            }
        }
    }
}

/// Reserves memory for `more` bytes: doubles the capacity, but reserves no more than `most`.
fn make_room(bytes: &mut Vec<u8>, more: usize, most: usize) {
    if bytes.capacity() - bytes.len() < more {
        bytes.reserve_exact(bytes.len().max(more).min(most));
    }
}

pin_project! {
    /// The request body of [`ToolScopes`](crate::scope::ToolScopes): the same bytes and trailers as received, in one frame if they had to
    /// be read, else frame by frame.
    #[derive(Debug)]
    pub struct RequestBody<B> {
        #[pin]
        content: Content<B>,
    }
}

pin_project! {
    #[project = ContentProjection]
    #[derive(Debug)]
    enum Content<B> {
        Passed { #[pin] body: B },
        Read { bytes: Bytes, trailers: Option<HeaderMap> },
    }
}

impl<B> RequestBody<B> {
    const fn passed(body: B) -> Self {
        Self { content: Content::Passed { body } }
    }

    const fn read(bytes: Bytes, trailers: Option<HeaderMap>) -> Self {
        Self { content: Content::Read { bytes, trailers } }
    }
}

impl<B> Body for RequestBody<B>
where
    B: Body<Data: From<Bytes>>,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        match self.project().content.project() {
            ContentProjection::Passed { body } => body.poll_frame(cx),
            ContentProjection::Read { bytes, trailers } => {
                let frame = if bytes.is_empty() {
                    trailers.take().map(Frame::trailers)
                } else {
                    Some(Frame::data(mem::take(bytes).into()))
                };
                Poll::Ready(frame.map(Ok))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Passed { body } => body.is_end_stream(),
            Content::Read { bytes, trailers } => bytes.is_empty() && trailers.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Passed { body } => body.size_hint(),
            Content::Read { bytes, .. } => SizeHint::with_exact(bytes.len() as u64),
        }
    }
}
