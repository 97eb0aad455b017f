//! [`Line`]: one kind of request to one provider.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use portcullis_core::{AuthError, Clock, Reason};
use portcullis_egress::{BackOff, Egress, Purpose, StandingRefusal};
use portcullis_oauth::ProtocolError;
use tokio::time::Instant;
use tower::ServiceExt as _;

/// How often a complaint about one provider is logged, at most.
const COMPLAINT: Duration = Duration::from_secs(5);

/// One kind of request to one provider: left alone while it fails, and while it refuses our credentials.
#[derive(Clone)]
pub(crate) struct Line {
    http: BackOff<Egress>,
    purpose: Purpose,
    refused: Arc<StandingRefusal>,
    next_complaint: Arc<Mutex<Option<Instant>>>,
}

impl Line {
    pub(crate) fn new(egress: Egress, clock: Arc<dyn Clock>, purpose: Purpose) -> Self {
        Self { http: BackOff::new(egress, clock), purpose, refused: Arc::default(), next_complaint: Arc::default() }
    }

    /// Sends `request` and judges the response by `process`.
    pub(crate) async fn send<T>(
        &self,
        mut request: Request<Bytes>,
        process: impl FnOnce(&Response<Bytes>) -> Result<T, ProtocolError>,
    ) -> Result<T, AuthError> {
        if let Some(refusal) = self.refused.get() {
            return Err(refusal);
        }
        request.extensions_mut().insert(self.purpose);
        let response = self.http.clone().oneshot(request).await?;
        process(&response).map_err(|error| self.judge(error))
    }

    /// Complains where it is not the token's fault, and remembers that our credentials are no good.
    ///
    /// Only a 401 is remembered: another refusal may be about this one token, and must not keep everybody out.
    fn judge(&self, error: ProtocolError) -> AuthError {
        if let ProtocolError::TokenRefused = error {
            return error.into();
        }
        if self.may_complain() {
            let purpose = self.purpose.as_str();
            match error.reason() {
                Reason::ClientRefused => {
                    tracing::error!(purpose, %error, "the provider refuses this server, not the token")
                }
                _ => tracing::warn!(purpose, %error, "the provider does not answer as it should"),
            }
        }
        let is_about_our_credentials =
            matches!(error, ProtocolError::ClientRefused { status: StatusCode::UNAUTHORIZED, .. });
        let refusal = AuthError::from(error);
        if is_about_our_credentials { self.refused.set(refusal) } else { refusal }
    }

    fn may_complain(&self) -> bool {
        let mut next = self.next_complaint.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let may = next.is_none_or(|next| now >= next);
        if may {
            *next = Some(now + COMPLAINT);
        }
        may
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("purpose", &self.purpose).finish_non_exhaustive()
    }
}
