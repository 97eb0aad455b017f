//! [`RequireScopeLayer`]: the scopes of every request to one route.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use portcullis_core::{AuthError, ScopeSet, UserContext};
use tower_layer::Layer;
use tower_service::Service;

use super::ScopeHierarchy;
use crate::{ResponseBody, auth::is_preflight, drain::EarlyResponse, response::Rejection};

/// A [`Layer`] that applies [`RequireScope`] to a route: `.route_layer(RequireScopeLayer::new(scopes))`, inside
/// [`AuthLayer`](crate::AuthLayer).
///
/// 1. A CORS preflight passes, because it cannot carry a token.
/// 2. If the request has no user context, the response is 500 and an error is logged.
/// 3. If the user's scopes do not suffice, the response is 403, and the challenge contains all scopes that are needed.
///
/// It does **not** distinguish the operations within a route, such as tools: use
/// [`ToolScopesLayer`](crate::scope::ToolScopesLayer).
#[derive(Clone, Debug)]
pub struct RequireScopeLayer {
    rule: Arc<Rule>,
}

impl RequireScopeLayer {
    /// Creates a layer that requires all of `scopes`.
    #[must_use]
    pub fn new(scopes: ScopeSet) -> Self {
        Self { rule: Arc::new(Rule { scopes, hierarchy: ScopeHierarchy::new() }) }
    }

    /// Sets which scopes imply others. Default: no implications.
    #[must_use]
    pub fn with_hierarchy(self, hierarchy: ScopeHierarchy) -> Self {
        Self { rule: Arc::new(Rule { scopes: self.rule.scopes.clone(), hierarchy }) }
    }
}

impl<S> Layer<S> for RequireScopeLayer {
    type Service = RequireScope<S>;

    fn layer(&self, inner: S) -> RequireScope<S> {
        RequireScope::new(inner, Arc::clone(&self.rule))
    }
}

/// Middleware that checks the scopes of every request, created by [`RequireScopeLayer`](crate::scope::RequireScopeLayer).
#[derive(Clone, Debug)]
pub struct RequireScope<S> {
    inner: S,
    rule: Arc<Rule>,
}

/// The scopes that every request needs.
#[derive(Debug)]
struct Rule {
    scopes: ScopeSet,
    hierarchy: ScopeHierarchy,
}

impl Rule {
    fn check<B>(&self, request: &Request<B>) -> Result<(), Rejection> {
        if is_preflight(request) {
            return Ok(());
        }
        let user = request.extensions().get::<Arc<UserContext>>().ok_or(Rejection::MissingUser)?;
        if self.hierarchy.satisfies(user.scopes(), &self.scopes) {
            Ok(())
        } else {
            Err(AuthError::insufficient_scope(self.scopes.clone()).into())
        }
    }
}

impl<S> RequireScope<S> {
    const fn new(inner: S, rule: Arc<Rule>) -> Self {
        Self { inner, rule }
    }
}

impl<S, B, C> Service<Request<B>> for RequireScope<S>
where
    S: Service<Request<B>, Response = Response<C>>,
    B: Body,
{
    type Response = Response<ResponseBody<C>>;
    type Error = S::Error;
    type Future = RequireScopeFuture<S::Future, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match self.rule.check(&request) {
            Ok(()) => RequireScopeFuture::call(self.inner.call(request)),
            Err(rejection) => RequireScopeFuture::rejected(request, rejection),
        }
    }
}

pin_project! {
    /// Future for [`RequireScope`](crate::scope::RequireScope).
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct RequireScopeFuture<F, B> {
        #[pin]
        state: State<F, B>,
    }
}

pin_project! {
    #[project = StateProjection]
    #[derive(Debug)]
    enum State<F, B> {
        Call { #[pin] responding: F },
        Rejected { early: EarlyResponse<B, Bytes> },
    }
}

impl<F, B: Body> RequireScopeFuture<F, B> {
    const fn call(responding: F) -> Self {
        Self { state: State::Call { responding } }
    }

    fn rejected(request: Request<B>, rejection: Rejection) -> Self {
        Self { state: State::Rejected { early: EarlyResponse::new(request, rejection.into_response()) } }
    }
}

impl<F, B, C, E> Future for RequireScopeFuture<F, B>
where
    B: Body,
    F: Future<Output = Result<Response<C>, E>>,
{
    type Output = Result<Response<ResponseBody<C>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProjection::Call { responding } => {
                responding.poll(cx).map_ok(|response| response.map(ResponseBody::passed))
            }
            StateProjection::Rejected { early } => {
                Pin::new(early).poll(cx).map(|response| Ok(response.map(ResponseBody::own)))
            }
        }
    }
}
