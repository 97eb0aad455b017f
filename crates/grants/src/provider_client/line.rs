//! [`Line`]: one kind of request to one provider.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use portcullis_core::{Clock, Fingerprint};
use portcullis_egress::{
    Answer, CircuitBreaker, CredentialKey, CredentialRejection, Egress, EgressErrorKind, RequestKind,
};
use portcullis_oauth::{ProtocolError, providers::Provider};

use super::call_error::CallError;

/// One kind of request to one provider: left alone while it fails, and while it says that our id or secret is no good. Clones share that.
///
/// Every request presents one credential, and what the provider answers is about that credential unless it says otherwise: see
/// [`CircuitBreaker`] and `docs/decisions/0021-an-answer-about-one-credential.md`.
#[derive(Clone)]
pub(super) struct Line {
    http: CircuitBreaker<Egress>,
    purpose: RequestKind,
    closed: Arc<CredentialRejection>,
    unclear_refusal: Duration,
}

/// For how long a credential is not presented again after a refusal that does not say whether it is about the credential or about this
/// server.
const UNCLEAR_REFUSAL: Duration = Duration::from_secs(5);

impl Line {
    pub(super) fn new(egress: Egress, clock: Arc<dyn Clock>, purpose: RequestKind) -> Self {
        let http = CircuitBreaker::new(egress, clock);
        Self { http, purpose, closed: Arc::default(), unclear_refusal: UNCLEAR_REFUSAL }
    }

    /// For credentials whose owner decides when they are presented again after a refusal: the [`Refresher`](crate::Refresher), and the
    /// user behind a code or a profile.
    pub(super) fn with_owned_credentials(self) -> Self {
        Self { unclear_refusal: Duration::ZERO, ..self }
    }

    /// Another kind of request to the same endpoint: what the provider says about our id or secret holds for both, and nothing else.
    pub(super) fn beside(&self, egress: Egress, clock: Arc<dyn Clock>) -> Self {
        Self { http: CircuitBreaker::new(egress, clock), ..self.clone() }
    }

    /// Remembers that the provider has just issued `credential`: it is one that works until the provider says otherwise.
    pub(super) fn accept(&self, credential: Fingerprint) {
        self.http.accept(CredentialKey::new(credential));
    }

    /// Sends `request` of a client of `provider`, which presents `credential`, and judges the response by `process`.
    pub(super) async fn ask<T>(
        &self,
        provider: &Provider,
        credential: Fingerprint,
        mut request: Request<Bytes>,
        process: impl FnOnce(&Response<Bytes>) -> Result<T, ProtocolError>,
    ) -> Result<T, CallError> {
        if let Some(refusal) = self.closed.get() {
            return Err(CallError::ClientRejected(refusal));
        }
        request.extensions_mut().insert(self.purpose);
        request.extensions_mut().insert(CredentialKey::new(credential));
        let judge = |response| {
            let processed = process(&response);
            let answer = processed.as_ref().map_or_else(|error| self.answer(provider, error), |_| Answer::Accepted);
            (processed, answer)
        };
        let processed = self.http.send(request, judge).await.map_err(CallError::Egress)?;
        if let Err(error) = &processed
            && provider.refuses_credentials(error)
        {
            drop(self.closed.set(error.clone().into()));
        }
        processed.map_err(CallError::Protocol)
    }

    /// What a response that cannot be used says about the provider and the credential.
    fn answer(&self, provider: &Provider, error: &ProtocolError) -> Answer {
        match error {
            // Held against every request, beside the circuit breaker.
            ProtocolError::ClientRefused { .. } if provider.refuses_credentials(error) => Answer::Answered,
            ProtocolError::ClientRefused { .. } | ProtocolError::UnknownRefusal { .. } => {
                Answer::Refused { pause: self.unclear_refusal }
            }
            ProtocolError::RateLimited { retry_after } => {
                Answer::Failed { kind: EgressErrorKind::RateLimited, retry_after: *retry_after }
            }
            ProtocolError::ServerError { retry_after, .. } => {
                Answer::Failed { kind: EgressErrorKind::ServerError, retry_after: *retry_after }
            }
            _ => Answer::Answered,
        }
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("purpose", &self.purpose).finish_non_exhaustive()
    }
}
