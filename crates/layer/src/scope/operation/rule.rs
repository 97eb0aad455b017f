//! [`Rule`]: the decisions, one by one. Nothing here waits.

use std::sync::Arc;

use http::{HeaderMap, Request};
use http_body::Body;
use portcullis_core::{AuthError, Reason, ScopeSet, UserContext};

use super::{OperationPolicy, mirrored::contradict, representation::is_plain_utf8};
use crate::{
    rejection::Rejection,
    scope::{Operation, ScopeHierarchy, for_each_operation},
};

/// What all requests through one layer share.
#[derive(Debug)]
pub(super) struct Rule {
    /// `None` if nothing needs scopes.
    policy: Option<OperationPolicy>,
    hierarchy: ScopeHierarchy,
    body_limit: usize,
}

/// What becomes of a request before its body is read.
#[derive(Debug)]
pub(super) enum Entrance {
    /// It passes as it is.
    Pass,
    /// Its body is read, up to so many bytes, and judged by what this user may do.
    Read(Arc<UserContext>, usize),
}

impl Rule {
    pub(super) fn new(policy: OperationPolicy, hierarchy: ScopeHierarchy, body_limit: usize) -> Self {
        Self { policy: Some(policy).filter(|policy| !policy.is_empty()), hierarchy, body_limit }
    }

    /// Looks at a request that has just come.
    pub(super) fn enter<B: Body>(&self, request: &Request<B>) -> Result<Entrance, Rejection> {
        if self.policy.is_none() {
            return Ok(Entrance::Pass);
        }
        if request.body().is_end_stream() {
            agree(request.headers(), None)?;
            return Ok(Entrance::Pass);
        }
        let user = request.extensions().get::<Arc<UserContext>>().ok_or(Rejection::MissingUser)?;
        if !is_plain_utf8(request.headers()) {
            return Err(unreadable("the body is encoded").into());
        }
        Ok(Entrance::Read(Arc::clone(user), self.body_limit))
    }

    /// Whether `user` may do what `body` asks for.
    pub(super) fn judge(&self, headers: &HeaderMap, body: &[u8], user: &UserContext) -> Result<(), Rejection> {
        let Some(policy) = &self.policy else { return Ok(()) };
        let (mut needed, mut count, mut only) = (ScopeSet::default(), 0_usize, None);
        for_each_operation(body, |operation| {
            policy.add_needed(&operation, &mut needed);
            count += 1;
            only = Some(operation).filter(|_| count == 1);
        })
        .map_err(unreadable)?;
        agree(headers, only.as_ref())?;
        if self.hierarchy.satisfies(user.scopes(), &needed) {
            Ok(())
        } else {
            Err(AuthError::insufficient_scope(needed).into())
        }
    }
}

fn agree(headers: &HeaderMap, operation: Option<&Operation>) -> Result<(), Rejection> {
    if !contradict(headers, operation) {
        return Ok(());
    }
    Err(Rejection::HeaderMismatch(operation.and_then(Operation::id).cloned()))
}

fn unreadable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> AuthError {
    AuthError::new(Reason::MalformedBody).with_source(source)
}
