//! [`EndpointClient`]: sends one kind of request to one endpoint of a provider.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use portcullis_core::{AuthError, BearerToken, Clock, Fingerprint, Reason, RequestSource};
use portcullis_egress::{Answer, CircuitBreaker, CredentialKey, Egress, EgressError, EgressErrorKind, RequestKind};
use portcullis_oauth::{ProtocolError, providers::Provider};
use tokio::time::Instant;

/// The shortest time between two log entries of [`EndpointClient::verify`].
const LOG_INTERVAL: Duration = Duration::from_secs(5);
/// The shortest pause after a rejection of this server's credentials: the provider may lock the client out.
const REJECTION: Duration = Duration::from_secs(5);
/// The longest pause that a provider may ask for.
const LONGEST_REJECTION: Duration = Duration::from_secs(300);
/// How long a credential is not presented again after a refusal that may be about the credential or about this server.
const UNCLEAR_REFUSAL: Duration = Duration::from_secs(5);

/// Sends one kind of request to one endpoint of a provider. Clones share what is known about the endpoint.
///
/// 1. Every request presents one credential, and the response is evidence about that credential unless it says otherwise: see
///    [`CircuitBreaker`] and `docs/decisions/0021-an-answer-about-one-credential.md`.
/// 2. After a response that rejects this server's own credentials (`invalid_client`) no request is sent for 5 s, or for as long as the
///    provider says.
/// 3. It does **not** retry, and does not cache responses.
#[derive(Clone)]
pub struct EndpointClient {
    http: CircuitBreaker<Egress>,
    kind: RequestKind,
    provider: Option<Arc<Provider>>,
    rejection: Arc<CredentialRejection>,
    unclear_refusal: Duration,
    next_log: Arc<Mutex<Option<Instant>>>,
}

/// The credential that a request presents, and the source that it came from.
#[derive(Clone, Copy, Debug)]
pub struct Credential {
    key: CredentialKey,
    source: Option<RequestSource>,
}

/// Why a request has no usable response.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "each caller must decide what each of them means for the credential")]
pub enum CallError {
    /// Not sent: a short time ago the provider rejected this server's own credentials.
    ClientRejected(AuthError),
    /// There was no response, or the circuit breaker counts it as a failure.
    Egress(EgressError),
    /// The response is an error, or cannot be read.
    Protocol(ProtocolError),
}

impl EndpointClient {
    /// Creates a client for requests of `kind`.
    #[must_use]
    pub fn new(egress: Egress, kind: RequestKind) -> Self {
        Self {
            http: CircuitBreaker::new(egress),
            kind,
            provider: None,
            rejection: Arc::default(),
            unclear_refusal: UNCLEAR_REFUSAL,
            next_log: Arc::default(),
        }
    }

    /// Sets the clock for a `Retry-After` that is a date. Default: [`SystemClock`](portcullis_core::SystemClock). Set it before the
    /// first request: the result has a new circuit breaker.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.http = self.http.with_clock(clock);
        self
    }

    /// Recognizes rejections of this server's credentials by the error codes of `provider`, instead of `invalid_client` alone.
    #[must_use]
    pub fn with_provider(mut self, provider: Arc<Provider>) -> Self {
        self.provider = Some(provider);
        self
    }

    /// Sets how long a credential is not presented again after a refusal that may be about the credential or about this server. Default:
    /// 5 s. Zero: the owner of the credential decides when it is presented again.
    #[must_use]
    pub const fn with_unclear_refusal_pause(mut self, pause: Duration) -> Self {
        self.unclear_refusal = pause;
        self
    }

    /// Creates a client for another kind of credential at the same endpoint. It has a circuit breaker of its own; a rejection of this
    /// server's credentials applies to both.
    #[must_use]
    pub fn sibling(&self, clock: Arc<dyn Clock>) -> Self {
        self.clone().with_clock(clock)
    }

    /// Notes that the provider has just issued `credential`: it counts as accepted until it fails.
    pub fn accept(&self, credential: Fingerprint) {
        self.http.accept(CredentialKey::new(credential));
    }

    /// Sends `request`, which presents `credential`, and processes the response.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn send<T>(
        &self,
        credential: impl Into<Credential>,
        mut request: Request<Bytes>,
        process: impl FnOnce(&Response<Bytes>) -> Result<T, ProtocolError>,
    ) -> Result<T, CallError> {
        if let Some(rejection) = self.rejection.get() {
            return Err(CallError::ClientRejected(rejection));
        }
        let Credential { key, source } = credential.into();
        request.extensions_mut().insert(self.kind);
        request.extensions_mut().insert(key);
        if let Some(source) = source {
            request.extensions_mut().insert(source);
        }
        let judge = |response| {
            let processed = process(&response);
            let answer = processed.as_ref().map_or_else(|error| self.answer(error), |_| Answer::Accepted);
            (processed, answer)
        };
        let processed = self.http.send(request, judge).await.map_err(CallError::Egress)?;
        processed.map_err(|error| {
            if self.is_rejection(&error) {
                self.rejection.set(error.clone().into());
            }
            CallError::Protocol(error)
        })
    }

    /// As [`send`](Self::send), for a verifier of `token`: logs errors that are not the token's fault.
    ///
    /// # Errors
    /// `InvalidToken` if the provider refuses the token, else `Unavailable`.
    pub async fn verify<T>(
        &self,
        token: &BearerToken,
        request: Request<Bytes>,
        process: impl FnOnce(&Response<Bytes>) -> Result<T, ProtocolError>,
    ) -> Result<T, AuthError> {
        match self.send(token, request, process).await {
            Ok(processed) => Ok(processed),
            Err(CallError::Protocol(error)) => {
                self.log(&error);
                let is_unclear = error.reason() == Reason::ClientRefused && !self.unclear_refusal.is_zero();
                let rejection = if self.is_rejection(&error) { self.rejection.get() } else { None };
                let error = AuthError::from(error);
                Err(match rejection {
                    Some(rejection) => rejection,
                    None if is_unclear => error.with_retry_after(self.unclear_refusal),
                    None => error,
                })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Returns what a response that cannot be used says about the provider and the credential.
    fn answer(&self, error: &ProtocolError) -> Answer {
        match error {
            // The rejection applies to every request, independently of the circuit breaker.
            ProtocolError::ClientRefused { .. } if self.is_rejection(error) => Answer::Answered,
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

    /// Reports whether `error` rejects this server's own credentials.
    fn is_rejection(&self, error: &ProtocolError) -> bool {
        match &self.provider {
            Some(provider) => provider.refuses_credentials(error),
            None => error.is_invalid_client(),
        }
    }

    /// Logs an error, at most one per [`LOG_INTERVAL`].
    fn log(&self, error: &ProtocolError) {
        if matches!(error, ProtocolError::TokenRefused) || !self.may_log() {
            return;
        }
        let purpose = self.kind.as_str();
        if self.is_rejection(error) {
            tracing::error!(purpose, %error, "the provider refuses this server, not the token");
        } else if error.reason() == Reason::ClientRefused {
            tracing::error!(purpose, %error, "the provider refuses a request and does not say whether the token or this server is refused");
        } else {
            tracing::warn!(purpose, %error, "the provider does not answer as it should");
        }
    }

    fn may_log(&self) -> bool {
        let mut next = self.next_log.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let may = next.is_none_or(|next| now >= next);
        if may {
            *next = Some(now + LOG_INTERVAL);
        }
        may
    }
}

/// The present rejection of this server's own credentials, which applies to every request for some time.
#[derive(Default)]
struct CredentialRejection(Mutex<Option<(AuthError, Instant)>>);

impl CredentialRejection {
    /// Applies `error` for 5 s, or for as long as it asks, up to 5 min.
    fn set(&self, error: AuthError) {
        let pause = error.retry_after().unwrap_or_default().clamp(REJECTION, LONGEST_REJECTION);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((error, Instant::now() + pause));
    }

    /// Returns the rejection if it still applies, with the remaining time.
    fn get(&self) -> Option<AuthError> {
        let rejection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (error, until) = rejection.as_ref()?;
        let rest = until.saturating_duration_since(Instant::now());
        (!rest.is_zero()).then(|| error.clone().with_retry_after(rest))
    }
}

impl From<Fingerprint> for Credential {
    fn from(fingerprint: Fingerprint) -> Self {
        Self { key: CredentialKey::new(fingerprint), source: None }
    }
}

impl From<&BearerToken> for Credential {
    fn from(token: &BearerToken) -> Self {
        Self { key: CredentialKey::new(token.fingerprint()), source: token.source() }
    }
}

impl From<CallError> for AuthError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::ClientRejected(error) => error,
            CallError::Egress(error) => error.into(),
            CallError::Protocol(error) => error.into(),
        }
    }
}

impl fmt::Debug for EndpointClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointClient").field("kind", &self.kind).finish_non_exhaustive()
    }
}
