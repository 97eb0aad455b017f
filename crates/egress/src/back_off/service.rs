//! [`BackOff`]: leaves a failing provider alone.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, header::AUTHORIZATION};
use portcullis_core::Clock;
use tower_service::Service;

use super::{
    future::{Asked, BackOffFuture},
    provider::Provider,
};
use crate::EgressError;

/// Leaves a failing provider alone: one call per back-off window.
///
/// 1. A call fails if it ends in an [`EgressError`] (unless that is [blocked](crate::EgressErrorKind::Blocked), which is
///    not the provider's doing), in a server error (5xx) or in 429. The last two become errors here.
///    A 429 to a request with a bearer token is that user's limit, not the provider's failure: it is returned as it is.
/// 2. The first failure opens a window of 1 s, the next of 2 s, up to 30 s; or longer, up to 5 min, if `Retry-After` says
///    so. Up to a quarter of it is added at random, so that many processes do not come back at once.
/// 3. In the window every call is refused at once and told how long the window lasts.
/// 4. After it one call goes out, the probe; the others are still refused. If it succeeds all is well again, if it fails
///    the next window opens, and if its caller goes away the next call is the probe.
///
/// Calls that are already out when the window opens neither lengthen nor close it. Clones share one state.
///
/// It does **not** tell hosts apart: put one around the egress of each provider.
#[derive(Clone)]
pub struct BackOff<S> {
    inner: S,
    provider: Arc<Provider>,
    clock: Arc<dyn Clock>,
}

impl<S> BackOff<S> {
    /// A `BackOff` around `inner`; `clock` is for a `Retry-After` that is a date.
    #[must_use]
    pub fn new(inner: S, clock: Arc<dyn Clock>) -> Self {
        Self { inner, provider: Arc::default(), clock }
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
        match self.provider.admit() {
            Ok(permit) => {
                let asked = Asked { uri: request.uri().clone(), for_a_user: has_bearer_token(&request) };
                BackOffFuture::calling(self.inner.call(request), permit, asked, Arc::clone(&self.clock))
            }
            Err(refusal) => {
                let error = EgressError::new(refusal.kind, request.uri());
                BackOffFuture::refused(error.with_retry_after(refusal.retry_after))
            }
        }
    }
}

fn has_bearer_token(request: &Request<Bytes>) -> bool {
    let scheme = request.headers().get(AUTHORIZATION).and_then(|value| value.as_bytes().get(..7));
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"Bearer "))
}

impl<S: fmt::Debug> fmt::Debug for BackOff<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackOff").field("inner", &self.inner).finish_non_exhaustive()
    }
}
