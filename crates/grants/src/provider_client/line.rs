//! [`Line`]: one kind of request to one provider.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::{Request, Response};
use portcullis_core::Clock;
use portcullis_egress::{BackOff, Egress, Purpose, StandingRefusal};
use portcullis_oauth::ProtocolError;
use tower::ServiceExt as _;

use super::failure::Failure;

/// One kind of request to one provider: left alone while it fails, and while it refuses whoever we are. Clones share that.
#[derive(Clone)]
pub(super) struct Line {
    http: BackOff<Egress>,
    purpose: Purpose,
    closed: Arc<StandingRefusal>,
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
        if let Some(refusal) = self.closed.get() {
            return Err(Failure::Closed(refusal));
        }
        request.extensions_mut().insert(self.purpose);
        let response = self.http.clone().oneshot(request).await.map_err(Failure::Egress)?;
        process(&response).map_err(Failure::Protocol)
    }

    /// Sends nothing for a while: what `error` says is said to everybody.
    pub(super) fn close_for(&self, error: &ProtocolError) {
        drop(self.closed.set(error.clone().into()));
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("purpose", &self.purpose).finish_non_exhaustive()
    }
}
