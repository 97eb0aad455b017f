//! [`Line`]: one kind of request to one provider.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use portcullis_core::{AuthError, Clock, Reason};
use portcullis_egress::{BackOff, Egress, Purpose};
use portcullis_oauth::ProtocolError;
use tokio::time::Instant;
use tower::ServiceExt as _;

use super::failure::Failure;

/// For how long a provider that refused our credentials is not asked with them again: it may lock us out.
const REFUSED: Duration = Duration::from_secs(5);
/// For how long a provider may ask to be left alone.
const LONGEST: Duration = Duration::from_secs(300);

/// One kind of request to one provider: left alone while it fails, and while it refuses whoever we are. Clones share that.
#[derive(Clone)]
pub(super) struct Line {
    http: BackOff<Egress>,
    purpose: Purpose,
    closed: Arc<Mutex<Option<Closed>>>,
}

/// Why nothing is sent until then.
#[derive(Clone, Copy)]
struct Closed {
    reason: Reason,
    until: Instant,
}

impl Line {
    pub(super) fn new(egress: Egress, clock: Arc<dyn Clock>, purpose: Purpose) -> Self {
        Self { http: BackOff::new(egress, clock), purpose, closed: Arc::default() }
    }

    /// Sends `request` and judges the response by `process`.
    pub(super) async fn ask<T>(
        &self,
        mut request: Request<Bytes>,
        process: impl FnOnce(&Response<Bytes>) -> Result<T, ProtocolError>,
    ) -> Result<T, Failure> {
        if let Some(refusal) = self.refusal() {
            return Err(Failure::Closed(refusal));
        }
        request.extensions_mut().insert(self.purpose);
        let response = self.http.clone().oneshot(request).await.map_err(Failure::Egress)?;
        process(&response).map_err(Failure::Protocol)
    }

    /// Sends nothing for a while: what `error` says is said to everybody.
    pub(super) fn close_for(&self, error: &ProtocolError) {
        let pause = error.retry_after().unwrap_or_default().clamp(REFUSED, LONGEST);
        let closed = Closed { reason: error.reason(), until: Instant::now() + pause };
        *self.closed.lock().unwrap_or_else(PoisonError::into_inner) = Some(closed);
    }

    fn refusal(&self) -> Option<AuthError> {
        let closed = (*self.closed.lock().unwrap_or_else(PoisonError::into_inner))?;
        let rest = closed.until.saturating_duration_since(Instant::now());
        (!rest.is_zero()).then(|| AuthError::new(closed.reason).with_retry_after(rest))
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("purpose", &self.purpose).finish_non_exhaustive()
    }
}
