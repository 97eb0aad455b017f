//! [`Line`]: one kind of request to one provider.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use portcullis_core::{AuthError, BearerToken, Clock, Reason};
use portcullis_egress::{
    Answer, CircuitBreaker, CredentialKey, CredentialRejection, Egress, EgressErrorKind, RequestKind,
};
use portcullis_oauth::ProtocolError;
use tokio::time::Instant;

/// How often a complaint about one provider is logged, at most.
const COMPLAINT: Duration = Duration::from_secs(5);
/// For how long a token is not presented again after a refusal that does not say whether it is about the token or about this server.
const UNCLEAR_REFUSAL: Duration = Duration::from_secs(5);

/// One kind of request to one provider: left alone while it fails, and while it says that our credentials are no good.
///
/// Every request is about one token, and what the provider answers is about that token unless it says otherwise: see
/// [`CircuitBreaker`] and `docs/decisions/0021-an-answer-about-one-credential.md`.
#[derive(Clone)]
pub(crate) struct Line {
    http: CircuitBreaker<Egress>,
    purpose: RequestKind,
    refused: Arc<CredentialRejection>,
    next_complaint: Arc<Mutex<Option<Instant>>>,
    unclear_refusal: Duration,
}

impl Line {
    pub(crate) fn new(egress: Egress, clock: Arc<dyn Clock>, purpose: RequestKind) -> Self {
        Self {
            http: CircuitBreaker::new(egress, clock),
            purpose,
            refused: Arc::default(),
            next_complaint: Arc::default(),
            unclear_refusal: UNCLEAR_REFUSAL,
        }
    }

    /// Sets the time for which a token is not presented again after a rejection that does not say what is rejected.
    pub(crate) const fn with_unclear_refusal_pause(mut self, pause: Duration) -> Self {
        self.unclear_refusal = pause;
        self
    }

    /// Sends `request`, which is about `token`, and judges the response by `process`.
    pub(crate) async fn send<T>(
        &self,
        token: &BearerToken,
        mut request: Request<Bytes>,
        process: impl FnOnce(&Response<Bytes>) -> Result<T, ProtocolError>,
    ) -> Result<T, AuthError> {
        if let Some(refusal) = self.refused.get() {
            return Err(refusal);
        }
        request.extensions_mut().insert(self.purpose);
        request.extensions_mut().insert(CredentialKey::new(token.fingerprint()));
        if let Some(source) = token.source() {
            request.extensions_mut().insert(source);
        }
        let judge = |response| {
            let processed = process(&response);
            let answer = processed.as_ref().map_or_else(|error| self.answer(error), |_| Answer::Accepted);
            (processed, answer)
        };
        self.http.send(request, judge).await?.map_err(|error| self.refuse(error))
    }

    /// Complains where it is not the token's fault, and remembers that our credentials are no good.
    fn refuse(&self, error: ProtocolError) -> AuthError {
        if let ProtocolError::TokenRefused = error {
            return error.into();
        }
        if self.may_complain() {
            let purpose = self.purpose.as_str();
            match error.reason() {
                Reason::ClientRefused if error.is_invalid_client() => {
                    tracing::error!(purpose, %error, "the provider refuses this server, not the token")
                }
                Reason::ClientRefused => {
                    tracing::error!(purpose, %error, "the provider refuses a request and does not say whether the token or this server is refused")
                }
                _ => tracing::warn!(purpose, %error, "the provider does not answer as it should"),
            }
        }
        let (is_invalid_client, is_unclear) = (error.is_invalid_client(), error.reason() == Reason::ClientRefused);
        let refusal = AuthError::from(error);
        match (is_invalid_client, is_unclear) {
            (true, _) => self.refused.set(refusal),
            (false, true) if !self.unclear_refusal.is_zero() => refusal.with_retry_after(self.unclear_refusal),
            (false, _) => refusal,
        }
    }

    /// What a response that cannot be used says about the provider and the token.
    fn answer(&self, error: &ProtocolError) -> Answer {
        match error {
            // Held against every request, beside the circuit breaker.
            ProtocolError::ClientRefused { .. } if error.is_invalid_client() => Answer::Answered,
            ProtocolError::ClientRefused { .. } => Answer::Refused { pause: self.unclear_refusal },
            ProtocolError::RateLimited { retry_after } => {
                Answer::Failed { kind: EgressErrorKind::RateLimited, retry_after: *retry_after }
            }
            ProtocolError::ServerError { retry_after, .. } => {
                Answer::Failed { kind: EgressErrorKind::ServerError, retry_after: *retry_after }
            }
            _ => Answer::Answered,
        }
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
