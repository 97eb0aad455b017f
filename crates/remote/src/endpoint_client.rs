//! [`EndpointClient`]: sends one kind of request to one endpoint of a provider; and [`Endpoint`]: the URL of such an endpoint,
//! configured or found in the issuer's metadata.

use std::{
    error::Error as _,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, Uri};
use portcullis_core::{AuthError, BearerToken, Clock, Fingerprint, Issuer, Reason, RequestSource};
use portcullis_egress::{Answer, CircuitBreaker, CredentialKey, Egress, EgressError, EgressErrorKind, RequestKind};
use portcullis_oauth::{ProtocolError, metadata::AuthorizationServerMetadata, providers::Provider};
use tokio::time::Instant;

use crate::{SharedTask, discovery::discover_until};

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

/// How long a discovered URL is used before the metadata is fetched again.
const LIFETIME: Duration = Duration::from_secs(3600);
/// The time between a failed look-up and the next one, unless the provider asks for more.
const COOL_DOWN: Duration = Duration::from_secs(5);
/// The longest time that a provider may ask for.
const LONGEST_COOL_DOWN: Duration = Duration::from_secs(300);

/// The URL of an endpoint: configured, or found in the issuer's metadata. Clones share what was found.
///
/// A look-up is one task for all callers, and there is at most one per cool-down. A URL that was found stays in use while it is looked up
/// again, and while that fails.
#[derive(Clone)]
pub struct Endpoint(Source);

#[derive(Clone)]
enum Source {
    At(Uri),
    Discovered(Arc<Discovered>),
}

/// Selects an endpoint in the metadata of an issuer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum EndpointKind {
    /// `introspection_endpoint`.
    Introspection,
    /// `userinfo_endpoint`.
    UserInfo,
    /// `token_endpoint`.
    Token,
}

struct Discovered {
    issuer: Issuer,
    kind: EndpointKind,
    egress: Egress,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    found: Option<Uri>,
    failure: Option<AuthError>,
    look_up: Option<LookUp>,
    next: Option<Instant>,
}

type LookUp = SharedTask<Result<Uri, AuthError>>;

impl Endpoint {
    /// Creates an endpoint at a configured URL.
    #[must_use]
    pub const fn at(url: Uri) -> Self {
        Self(Source::At(url))
    }

    /// Creates an endpoint whose URL is in the metadata of `issuer`.
    #[must_use]
    pub fn discovered(issuer: Issuer, kind: EndpointKind, egress: Egress) -> Self {
        Self(Source::Discovered(Arc::new(Discovered { issuer, kind, egress, state: Mutex::default() })))
    }

    /// Returns the URL. No lock is held while it is looked up.
    ///
    /// # Errors
    /// Always transient: the metadata cannot be fetched, or does not name the endpoint.
    pub async fn url(&self) -> Result<Uri, AuthError> {
        match &self.0 {
            Source::At(url) => Ok(url.clone()),
            Source::Discovered(discovered) => match discovered.cached_or_pending() {
                Ok(cached) => cached,
                Err(pending) => pending.await,
            },
        }
    }
}

impl Discovered {
    /// Returns the cached outcome, or the look-up to wait for.
    fn cached_or_pending(self: &Arc<Self>) -> Result<Result<Uri, AuthError>, LookUp> {
        let mut state = self.state();
        // A look-up that has ended removes itself, unless it panicked or its runtime stopped.
        state.look_up.take_if(|look_up| look_up.is_finished());
        let is_due = state.next.is_none_or(|next| Instant::now() >= next);
        if is_due && state.look_up.is_none() {
            state.look_up = Some(self.start());
        }
        match (&state.found, &state.look_up, &state.failure) {
            (Some(url), _, _) => Ok(Ok(url.clone())),
            (None, Some(look_up), _) => Err(look_up.clone()),
            (None, None, Some(failure)) => Ok(Err(failure.clone())),
            (None, None, None) => Ok(Err(AuthError::new(Reason::VerifierFailed))),
        }
    }

    fn start(self: &Arc<Self>) -> LookUp {
        let this = Arc::clone(self);
        let look_up = async move {
            let outcome = this.look_up().await;
            this.complete(outcome)
        };
        SharedTask::spawn(look_up, |failed| Err(AuthError::new(Reason::VerifierFailed).with_source(failed)))
    }

    async fn look_up(&self) -> Result<Uri, AuthError> {
        let has_endpoint = |metadata: &AuthorizationServerMetadata| self.kind.of(metadata).is_some();
        let (metadata, _) = discover_until(&self.egress, &self.issuer, has_endpoint).await?;
        self.kind.of(&metadata).cloned().ok_or_else(|| {
            AuthError::new(Reason::ClientRefused).with_source(ProtocolError::InvalidMember(self.kind.member()))
        })
    }

    fn complete(&self, outcome: Result<Uri, AuthError>) -> Result<Uri, AuthError> {
        let mut state = self.state();
        state.look_up = None;
        match outcome {
            Ok(url) => {
                state.next = Some(Instant::now() + LIFETIME);
                (state.found, state.failure) = (Some(url.clone()), None);
                Ok(url)
            }
            Err(error) => {
                let (issuer, member) = (&self.issuer, self.kind.member());
                tracing::warn!(%issuer, member, reason = %error.reason(), source = error.source(), "cannot look up an endpoint");
                let pause = error.retry_after().unwrap_or_default().clamp(COOL_DOWN, LONGEST_COOL_DOWN);
                let error = error.with_retry_after(pause);
                state.next = Some(Instant::now() + pause);
                state.failure = Some(error.clone());
                Err(error)
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EndpointKind {
    const fn of(self, metadata: &AuthorizationServerMetadata) -> Option<&Uri> {
        match self {
            Self::Introspection => metadata.introspection_endpoint(),
            Self::UserInfo => metadata.userinfo_endpoint(),
            Self::Token => metadata.token_endpoint(),
        }
    }

    const fn member(self) -> &'static str {
        match self {
            Self::Introspection => "introspection_endpoint",
            Self::UserInfo => "userinfo_endpoint",
            Self::Token => "token_endpoint",
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::At(url) => f.debug_tuple("Endpoint").field(url).finish(),
            Source::Discovered(discovered) => f.debug_tuple("Endpoint").field(&discovered.issuer).finish(),
        }
    }
}
