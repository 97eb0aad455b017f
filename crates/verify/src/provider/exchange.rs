//! [`Exchange`]: one kind of request to one provider.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use portcullis_core::{AuthError, Clock, Reason};
use portcullis_egress::{BackOff, Egress, Purpose};
use portcullis_oauth::ProtocolError;
use tokio::time::Instant;
use tower::ServiceExt as _;

/// How long a provider that refused our credentials is not asked with them again: it may lock us out.
const REFUSED: Duration = Duration::from_secs(5);
/// How often a complaint about one provider is logged, at most.
const COMPLAINT: Duration = Duration::from_secs(5);

/// One kind of request to one provider: left alone while it fails, and while it refuses our credentials.
#[derive(Clone)]
pub(crate) struct Exchange {
    http: BackOff<Egress>,
    purpose: Purpose,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    refused: Option<(AuthError, Instant)>,
    next_complaint: Option<Instant>,
}

impl Exchange {
    pub(crate) fn new(egress: Egress, clock: Arc<dyn Clock>, purpose: Purpose) -> Self {
        Self { http: BackOff::new(egress, clock), purpose, state: Arc::default() }
    }

    /// Sends `request` and judges the response by `process`.
    pub(crate) async fn send<T>(
        &self,
        mut request: Request<Bytes>,
        process: impl FnOnce(&Response<Bytes>) -> Result<T, ProtocolError>,
    ) -> Result<T, AuthError> {
        if let Some(refusal) = self.standing_refusal() {
            return Err(refusal);
        }
        request.extensions_mut().insert(self.purpose);
        let response = self.http.clone().oneshot(request).await?;
        process(&response).map_err(|error| self.judge(error))
    }

    fn standing_refusal(&self) -> Option<AuthError> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (refusal, until) = state.refused.as_ref()?;
        let rest = until.saturating_duration_since(Instant::now());
        (!rest.is_zero()).then(|| refusal.clone())
    }

    /// Complains where it is not the token's fault, and remembers that our credentials are no good.
    ///
    /// Only a 401 is remembered: another refusal may be about this one token, and must not keep everybody out.
    fn judge(&self, error: ProtocolError) -> AuthError {
        if let ProtocolError::TokenRefused = error {
            return error.into();
        }
        let now = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.next_complaint.is_none_or(|next| now >= next) {
            state.next_complaint = Some(now + COMPLAINT);
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
        let mut refusal = AuthError::from(error);
        if is_about_our_credentials {
            refusal = refusal.with_retry_after(REFUSED);
            state.refused = Some((refusal.clone(), now + REFUSED));
        }
        refusal
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("purpose", &self.purpose).finish_non_exhaustive()
    }
}
