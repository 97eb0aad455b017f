//! [`Rule`]: the decisions of [`ToolScopes`](crate::scope::ToolScopes), none of which waits.

use std::sync::Arc;

use http::{HeaderMap, Request};
use http_body::Body;
use portcullis_core::{AuthError, Reason, ScopeSet, UserContext};

use super::{
    OperationPolicy,
    headers::{is_plain_utf8, mirror_operation},
};
use crate::{
    rejection::Rejection,
    scope::{Operation, ScopeHierarchy, for_each_operation},
};

/// The state that all requests through one layer share.
#[derive(Debug)]
pub(super) struct Rule {
    /// `None` if no operation needs scopes.
    policy: Option<OperationPolicy>,
    hierarchy: ScopeHierarchy,
    body_limit: usize,
}

/// The decision about a request before its body is read.
#[derive(Debug)]
pub(super) enum Admission {
    /// The request passes unchanged.
    Pass,
    /// The body is read up to a limit, and checked against the scopes of this user.
    ReadBody(Arc<UserContext>, usize),
}

impl Rule {
    pub(super) fn new(policy: OperationPolicy, hierarchy: ScopeHierarchy, body_limit: usize) -> Self {
        Self { policy: Some(policy).filter(|policy| !policy.is_empty()), hierarchy, body_limit }
    }

    /// Decides about a new request.
    pub(super) fn classify<B: Body>(&self, request: &Request<B>) -> Result<Admission, Rejection> {
        if self.policy.is_none() {
            return Ok(Admission::Pass);
        }
        if request.body().is_end_stream() {
            check_mirrored_headers(request.headers(), None)?;
            return Ok(Admission::Pass);
        }
        let user = request.extensions().get::<Arc<UserContext>>().ok_or(Rejection::MissingUser)?;
        if !is_plain_utf8(request.headers()) {
            return Err(unreadable("the body has a content encoding or a charset other than UTF-8").into());
        }
        Ok(Admission::ReadBody(Arc::clone(user), self.body_limit))
    }

    /// Checks that `user` has the scopes for all operations of `body`.
    pub(super) fn authorize(&self, headers: &HeaderMap, body: &[u8], user: &UserContext) -> Result<(), Rejection> {
        let Some(policy) = &self.policy else { return Ok(()) };
        let (mut needed, mut count, mut only) = (ScopeSet::default(), 0_usize, None);
        for_each_operation(body, |operation| {
            policy.add_needed(&operation, &mut needed);
            count += 1;
            only = Some(operation).filter(|_| count == 1);
        })
        .map_err(unreadable)?;
        check_mirrored_headers(headers, only.as_ref())?;
        if self.hierarchy.satisfies(user.scopes(), &needed) {
            Ok(())
        } else {
            Err(AuthError::insufficient_scope(needed).into())
        }
    }
}

fn check_mirrored_headers(headers: &HeaderMap, operation: Option<&Operation>) -> Result<(), Rejection> {
    if mirror_operation(headers, operation) {
        return Ok(());
    }
    Err(Rejection::HeaderMismatch(operation.and_then(Operation::id).cloned()))
}

fn unreadable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> AuthError {
    AuthError::new(Reason::MalformedBody).with_source(source)
}
