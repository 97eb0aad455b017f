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

use super::{future::BackOffFuture, provider::Provider};
use crate::EgressError;

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
        let uri = request.uri().clone();
        match self.provider.admit() {
            Ok(permit) => BackOffFuture::calling(self.inner.call(request), permit, uri, Arc::clone(&self.clock)),
            Err(refusal) => {
                BackOffFuture::refused(EgressError::new(refusal.kind, &uri).with_retry_after(refusal.retry_after))
            }
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for BackOff<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackOff").field("inner", &self.inner).finish_non_exhaustive()
    }
}
