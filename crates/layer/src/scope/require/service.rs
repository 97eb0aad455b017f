//! [`RequireScope`]: middleware that checks the scopes of every request.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use http_body::Body;
use portcullis_core::{AuthError, ScopeSet, UserContext};
use tower_service::Service;

use super::RequireScopeFuture;
use crate::{ResponseBody, auth::is_preflight, rejection::Rejection, scope::ScopeHierarchy};

/// Middleware that checks the scopes of every request, created by [`RequireScopeLayer`](crate::scope::RequireScopeLayer).
#[derive(Clone, Debug)]
pub struct RequireScope<S> {
    inner: S,
    rule: Arc<Rule>,
}

/// The scopes that every request needs.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) scopes: ScopeSet,
    pub(super) hierarchy: ScopeHierarchy,
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
    pub(super) const fn new(inner: S, rule: Arc<Rule>) -> Self {
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
