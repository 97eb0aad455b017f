//! [`BackOff`]: leaves a failing provider alone.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use portcullis_core::Clock;
use tower_service::Service;

use super::{
    future::{Asked, BackOffFuture},
    provider::Provider,
    users::{User, Users},
};
use crate::{EgressError, EgressErrorKind};

/// Leaves a failing provider alone: one call per back-off window.
///
/// 1. A call fails if it ends in an [`EgressError`] (unless that is [blocked](crate::EgressErrorKind::Blocked), which is
///    not the provider's doing), in a server error (5xx) or in 429. The last two become errors here.
/// 2. The first failure opens a window of 1 s, the next of 2 s, up to 30 s; or longer, up to 5 min, if `Retry-After` says
///    so. Up to a quarter of it is added at random, so that many processes do not come back at once.
/// 3. In the window every call is refused at once and told how long the window lasts.
/// 4. After it one call goes out, the probe; the others are still refused. If it succeeds all is well again, if it fails
///    the next window opens, and if its caller goes away the next call is the probe.
///
/// The rate limit of one user is not the provider's failure: 429 to a request with a bearer token, or a 403 that says when
/// to come back or that nothing is left (`x-ratelimit-remaining: 0`), is returned as it is. From then on requests with this
/// token are refused, for as long as `Retry-After` says (at least 1 s, at most 5 min, and up to a quarter more); those with
/// other tokens go out.
///
/// Calls that are already out when the window opens neither lengthen nor close it. Clones share one state.
///
/// It does **not** tell hosts apart: put one around the egress of each provider.
#[derive(Clone)]
pub struct BackOff<S> {
    inner: S,
    provider: Arc<Provider>,
    users: Arc<Users>,
    clock: Arc<dyn Clock>,
}

impl<S> BackOff<S> {
    /// A `BackOff` around `inner`; `clock` is for a `Retry-After` that is a date.
    #[must_use]
    pub fn new(inner: S, clock: Arc<dyn Clock>) -> Self {
        Self { inner, provider: Arc::default(), users: Arc::default(), clock }
    }
}

impl<S> Service<Request<Bytes>> for BackOff<S>
where
    S: Service<Request<Bytes>, Response = Response<Bytes>, Error = EgressError>,
{
    type Response = Response<Bytes>;
    type Error = EgressError;
    type Future = BackOffFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), EgressError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let user = self.users.user(request.headers());
        if let Some(pause) = user.as_ref().and_then(User::pause) {
            let error = EgressError::new(EgressErrorKind::RateLimited, request.uri());
            return BackOffFuture::refused(error.with_retry_after(pause));
        }
        match self.provider.admit() {
            Ok(permit) => {
                let asked = Asked { uri: request.uri().clone(), user };
                BackOffFuture::calling(self.inner.call(request), permit, asked, Arc::clone(&self.clock))
            }
            Err(refusal) => {
                let error = EgressError::new(refusal.kind, request.uri());
                BackOffFuture::refused(error.with_retry_after(refusal.retry_after))
            }
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for BackOff<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackOff").field("inner", &self.inner).finish_non_exhaustive()
    }
}
