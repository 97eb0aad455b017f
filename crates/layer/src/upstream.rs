//! [`RequireUpstreamLayer`]: a fresh upstream token before the inner service is called.

use std::{
    fmt, mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use portcullis_core::{UpstreamFuture, UserContext};
use tower_layer::Layer;
use tower_service::Service;

use crate::{ResponseBody, drain::EarlyResponse, response::Rejection};

/// A [`Layer`] that applies [`RequireUpstream`] to an MCP server whose tools call a provider, inside [`AuthLayer`](crate::AuthLayer).
///
/// An MCP server begins its response before the tool has run, so a tool without a token can report that only within HTTP 200.
/// This layer obtains a token *before* the server is called, so that the client receives an HTTP response that it can act on:
///
/// 1. `POST` needs a user with a grant, and an [upstream token](portcullis_core::Upstream) that is not known to be invalid. If the
///    grant has ended, the response is 401 with a challenge; if the provider is unavailable, 503.
/// 2. All other methods pass: a `GET` opens a stream and a `DELETE` ends a session; neither calls the provider. The stream nevertheless
///    ends with the grant, as it ends with the token.
/// 3. If the request has no user context, the response is 500 and an error is logged.
/// 4. If the user has no grant, the response is 503 and an error is logged, because the verifier is misconfigured.
///
/// A valid token causes no delay; an expired one is refreshed first. The layer does **not** store the token: a tool requests it
/// [itself](portcullis_core::UserContext::upstream), and receives this token or a newer one.
///
/// ```
/// use axum::Router;
/// use portcullis_core::VerifyToken;
/// use portcullis_layer::{AuthConfig, AuthLayer, RequireUpstreamLayer};
///
/// fn app<V>(mcp: Router, cfg: AuthConfig<V>) -> Router
/// where
///     V: VerifyToken<Future: Send> + Clone + Send + Sync + 'static,
/// {
///     mcp.layer(RequireUpstreamLayer::new()).layer(AuthLayer::new(cfg))
/// }
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct RequireUpstreamLayer;

impl RequireUpstreamLayer {
    /// Creates the layer. It has no settings.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl<S> Layer<S> for RequireUpstreamLayer {
    type Service = RequireUpstream<S>;

    fn layer(&self, inner: S) -> RequireUpstream<S> {
        RequireUpstream::new(inner)
    }
}

/// Middleware that waits for a fresh upstream token, created by [`RequireUpstreamLayer`](crate::RequireUpstreamLayer).
#[derive(Clone, Debug)]
pub struct RequireUpstream<S> {
    inner: S,
}

impl<S> RequireUpstream<S> {
    const fn new(inner: S) -> Self {
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

pin_project! {
    /// Future for [`RequireUpstream`](crate::RequireUpstream). Dropping it cancels no refresh.
    #[must_use = "futures do nothing unless polled"]
    pub struct RequireUpstreamFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, S::Future, B>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, F, B> {
        Ask { asking: UpstreamFuture, waiting: Option<(S, Request<B>)> },
        Call { #[pin] responding: F },
        Rejected { early: EarlyResponse<B, Bytes> },
    }
}

impl<S, B> RequireUpstreamFuture<S, B>
where
    S: Service<Request<B>>,
{
    const fn ask(asking: UpstreamFuture, inner: S, request: Request<B>) -> Self {
        Self { state: State::Ask { asking, waiting: Some((inner, request)) } }
    }

    const fn call(responding: S::Future) -> Self {
        Self { state: State::Call { responding } }
    }

    fn rejected(request: Request<B>, rejection: Rejection) -> Self
    where
        B: Body,
    {
        Self { state: State::Rejected { early: EarlyResponse::new(request, rejection.into_response()) } }
    }
}

impl<S, B, C> Future for RequireUpstreamFuture<S, B>
where
    S: Service<Request<B>, Response = Response<C>>,
    B: Body,
{
    type Output = Result<Response<ResponseBody<C>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            match state.as_mut().project() {
                // ## Ask => (Call | Rejected)
                StateProjection::Ask { asking, waiting } => {
                    let asked = ready!(Pin::new(asking).poll(cx));
                    let (mut inner, request) = waiting.take().expect("polled after completion");
                    let next = match asked {
                        Ok(_) => State::Call { responding: inner.call(request) },
                        Err(error) => {
                            let response = Rejection::from(error).into_response();
                            State::Rejected { early: EarlyResponse::new(request, response) }
                        }
                    };
                    state.set(next);
                }
                // ## Call => done
                StateProjection::Call { responding } => {
                    return responding.poll(cx).map_ok(|response| response.map(ResponseBody::passed));
                }
                // ## Rejected => done
                StateProjection::Rejected { early } => {
                    return Pin::new(early).poll(cx).map(|response| Ok(response.map(ResponseBody::own)));
                }
            }
        }
    }
}

impl<S, B> fmt::Debug for RequireUpstreamFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequireUpstreamFuture").finish_non_exhaustive()
    }
}
