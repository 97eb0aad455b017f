//! [`CircuitBreaker`] and [`CircuitBreakerLayer`]: the circuit breaker as a tower service; and [`Calls`]: the way of one call through
//! it, from admission to verdict.

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri, header::RETRY_AFTER};
use portcullis_core::{Clock, Fingerprint, RequestSource, SystemClock};
use tokio::time::Instant;
use tower::ServiceExt as _;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    Refusal,
    circuit::{Circuit, Consequence, Failure, Permit, Verdict},
    credentials::{CredentialKey, Credentials, Presented},
    retry_after::{nothing_left, state_retry_after},
    sources::{SourceCall, Sources},
    suspicion::Caller,
};
use crate::{EgressError, EgressErrorKind};

/// The shortest time between two log entries about single credentials.
const LOG_INTERVAL: Duration = Duration::from_secs(5);

/// Response future for [`CircuitBreaker`].
pub type CircuitBreakerFuture = Pin<Box<dyn Future<Output = Result<Response<Bytes>, EgressError>> + Send>>;

/// A circuit breaker that knows which credential each request presents: it stops calls to a failing provider, and pauses a failing
/// credential.
///
/// A call **fails** if it ends in an [`EgressError`] (unless that is [blocked](crate::EgressErrorKind::Blocked), which the
/// provider does not cause), in a server error (5xx) or in 429. The last two become errors here. Every other response is an **answer**.
///
/// # One credential
///
/// A failure is remembered about the [credential](crate::CredentialKey) that was presented: the credential is not presented again for
/// 1 s, then 2 s, up to 30 s; or longer, up to 5 min, if `Retry-After` says so. Up to a quarter of it is jitter. The rate limit of a
/// user (429 to a request with a bearer token, or a 403 that says when to come back or that nothing is left,
/// `x-ratelimit-remaining: 0`; or a response that the caller of [`send`](Self::send) takes for one) is returned, pauses that token in the
/// same way, and counts as an answer. Without `Retry-After` the pause lasts until `x-ratelimit-reset`; the response that is returned
/// states it as `Retry-After` in seconds.
///
/// # The provider
///
/// A credential is *accepted* if the provider accepted it before and it has not failed since; else it is *new*.
///
/// | state | calls that are sent | event | next state |
/// |---|---|---|---|
/// | **closed** | all | a failure with a credential | suspected |
/// | | | a failure without a connection, or without a credential | open |
/// | **suspected** (half-open) | one at a time with an accepted credential; one at a time with a new credential, 1 s after the last failure once two different ones failed. Other calls wait for these, at most 1 s, and are then refused | an answer | closed |
/// | | | failures with two different credentials, one of them accepted | open |
/// | | | a failure without a connection, or without a credential | open |
/// | | | another failure | suspected |
/// | **open** | none until the window ends: 1 s, doubled each time up to 30 s, or what `Retry-After` says, up to 5 min, and up to a quarter more | the window ends, and a call comes | half-open |
/// | **half-open** | the one probe; other calls are refused at once | the probe is answered | closed |
/// | | | the probe fails, with a new credential | suspected |
/// | | | the probe, with a new credential, is not answered for 1 s, and a call comes | suspected |
/// | | | the probe fails otherwise | open, with the next window |
/// | | | the probe's caller goes away | open, without a window |
///
/// Among new credentials, callers that wait go before callers that have just come, and credentials that have not failed before those that
/// have. A failure counts only about its credential if the provider answered another call after the failed one was sent. In
/// *suspected*, a probe that is not answered for 1 s does not keep the next call waiting; and if the last failure asks by
/// `Retry-After` for more than 1 s, up to 30 s, new credentials wait for that time.
///
/// So a provider without a connection gets one call per window; one that fails or hangs gets two calls with new credentials, one with
/// an accepted credential, and then one call per window, or one a second while only new credentials come. And a requester that provokes
/// failures with any number of invalid tokens stops neither calls with accepted credentials nor, while the provider answers other calls,
/// calls with new ones. One effect remains: while *no other* credential is answered, its tokens compete with those of new users for one
/// probe each second.
///
/// # Refusals
///
/// A refusal that may be about this server as well as about the credential ([`Answer::Refused`], by [`send`](Self::send) only) pauses
/// the credential. From 16 different credentials on, if the provider has accepted none for 60 s, calls are sent as in *suspected*
/// until one is accepted.
///
/// # Sources
///
/// A request may name in its extensions the [source](portcullis_core::RequestSource) whose credential it presents. Credentials of one source
/// that the provider did not accept before cause at most 100 calls at once, and then one a second; accepted ones and calls that did not
/// reach the provider are not counted. Up to 4096 further calls wait, at most 5 s, for running calls that turn out to be of accepted ones.
/// So one source cannot spend the rate limit that the provider has for this server. The limit holds in one process.
///
/// Clones share one state. It does **not** tell hosts apart: put one around the egress of each provider.
#[derive(Clone)]
pub struct CircuitBreaker<S> {
    inner: S,
    calls: Arc<Calls>,
}

/// What a response says about the provider, and about the credential that was presented: judged by the component that can read it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Answer {
    /// The provider works, and accepted the credential and this server.
    Accepted,
    /// The provider works. Whether it accepted the credential is not known.
    Answered,
    /// The provider refused the request, and does not say whether that is about the credential or about this server. The
    /// credential is paused for `pause`; not at all if that is zero.
    Refused {
        /// The shortest pause.
        pause: Duration,
    },
    /// The provider failed, though it answered.
    Failed {
        /// [`RateLimited`](EgressErrorKind::RateLimited) or [`ServerError`](EgressErrorKind::ServerError).
        kind: EgressErrorKind,
        /// When it may be called again, if it says so.
        retry_after: Option<Duration>,
    },
}

impl<S> CircuitBreaker<S> {
    /// Creates a circuit breaker around `inner`.
    #[must_use]
    pub fn new(inner: S) -> Self {
        Self { inner, calls: Arc::new(Calls::new(Arc::new(SystemClock::new()))) }
    }

    /// Sets the clock for a `Retry-After` that is a date. Default: [`SystemClock`]. The result is closed, and shares nothing with
    /// earlier clones.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { inner: self.inner, calls: Arc::new(Calls::new(clock)) }
    }

    /// Remembers `credential` as one that the provider accepted: for a refresh token that it has just issued.
    pub fn accept(&self, credential: CredentialKey) {
        self.calls.accept(credential.fingerprint());
    }

    /// Sends `request`; `judge` says what the response means, and returns the part of it that the caller needs.
    ///
    /// # Errors
    /// [`EgressError`], as by the service: `judge` gets no 5xx, and 429 only if it is the rate limit of a user.
    pub async fn send<T>(
        &self,
        request: Request<Bytes>,
        judge: impl FnOnce(Response<Bytes>) -> (T, Answer),
    ) -> Result<T, EgressError>
    where
        S: Service<Request<Bytes>, Response = Response<Bytes>, Error = EgressError> + Clone,
    {
        self.calls.send(self.inner.clone(), request, judge).await
    }
}

impl<S> Service<Request<Bytes>> for CircuitBreaker<S>
where
    S: Service<Request<Bytes>, Response = Response<Bytes>, Error = EgressError> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Bytes>;
    type Error = EgressError;
    type Future = CircuitBreakerFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), EgressError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Bytes>) -> CircuitBreakerFuture {
        // The service that was made ready is the one that is called.
        let clone = self.inner.clone();
        let (inner, calls) = (mem::replace(&mut self.inner, clone), Arc::clone(&self.calls));
        Box::pin(async move { calls.send(inner, request, judge_status).await })
    }
}

fn judge_status(response: Response<Bytes>) -> (Response<Bytes>, Answer) {
    let answer = if response.status().is_success() { Answer::Accepted } else { Answer::Answered };
    (response, answer)
}

impl<S: fmt::Debug> fmt::Debug for CircuitBreaker<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreaker").field("inner", &self.inner).finish_non_exhaustive()
    }
}

/// Puts a [`CircuitBreaker`] around a service: once for each provider, because all that is behind one circuit breaker fails together.
#[derive(Clone, Debug)]
pub struct CircuitBreakerLayer {
    clock: Arc<dyn Clock>,
}

impl CircuitBreakerLayer {
    /// Creates a layer.
    #[must_use]
    pub fn new() -> Self {
        Self { clock: Arc::new(SystemClock::new()) }
    }

    /// Sets the clock for a `Retry-After` that is a date. Default: [`SystemClock`].
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }
}

impl Default for CircuitBreakerLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for CircuitBreakerLayer {
    type Service = CircuitBreaker<S>;

    fn layer(&self, inner: S) -> CircuitBreaker<S> {
        CircuitBreaker::new(inner).with_clock(Arc::clone(&self.clock))
    }
}

/// The state that the clones of a circuit breaker share, and the way of a call through it.
pub(super) struct Calls {
    circuit: Arc<Circuit>,
    credentials: Credentials,
    sources: Sources,
    clock: Arc<dyn Clock>,
    next_log: Mutex<Option<Instant>>,
}

impl Calls {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            circuit: Arc::new(Circuit::new()),
            credentials: Credentials::default(),
            sources: Sources::new(),
            clock,
            next_log: Mutex::default(),
        }
    }

    /// Sends `request` by `inner` if it is admitted. A response that is a failure becomes an error; `judge` says what any other
    /// response means.
    pub(super) async fn send<S, T>(
        &self,
        mut inner: S,
        request: Request<Bytes>,
        judge: impl FnOnce(Response<Bytes>) -> (T, Answer),
    ) -> Result<T, EgressError>
    where
        S: Service<Request<Bytes>, Response = Response<Bytes>, Error = EgressError>,
    {
        let uri = request.uri().clone();
        let presented = Presented::by(&request);
        let refused = |refusal: Refusal| EgressError::new(refusal.kind, &uri).with_retry_after(refusal.retry_after);
        let source = request.extensions().get().copied().filter(|_| !self.is_accepted(presented));
        let charged = self.charge(source).await.map_err(refused)?;
        let refund = || charged.iter().for_each(SourceCall::refund);
        let permit = self.admit(presented).await.map_err(|refusal| {
            refund();
            refused(refusal)
        })?;
        let response = match inner.ready().await {
            Ok(inner) => inner.call(request).await,
            Err(error) => Err(error),
        };
        let response = match response.and_then(|response| self.read(response, presented, &uri)) {
            Ok(response) => response,
            // Dropping the permit says nothing about the provider.
            Err(error) if error.kind() == EgressErrorKind::Blocked => {
                refund();
                return Err(error);
            }
            Err(error) => {
                if error.kind() == EgressErrorKind::Connect {
                    refund();
                }
                let failure = Failure { kind: error.kind(), asked: error.retry_after() };
                let pause = self.failed(permit, presented, failure, &error);
                return Err(error.with_retry_after(pause));
            }
        };
        let is_limit = is_limit_of_a_user(&response, presented);
        let (judged, answer) = judge(response);
        if answer == Answer::Accepted {
            refund();
        }
        match answer {
            // Only the body says that this is the rate limit of a user.
            Answer::Failed { kind: EgressErrorKind::RateLimited, retry_after } if presented.is_bearer => {
                if let Some(credential) = presented.credential.filter(|_| !is_limit) {
                    self.credentials.pause(credential, EgressErrorKind::RateLimited, retry_after);
                }
                self.answered(permit, presented, Answer::Answered, &uri);
            }
            Answer::Failed { kind, retry_after } if !is_limit => {
                let failure = Failure { kind, asked: retry_after };
                self.failed(permit, presented, failure, &EgressError::new(kind, &uri));
            }
            answer => self.answered(permit, presented, answer, &uri),
        }
        Ok(judged)
    }

    /// Counts a call that a credential from `source` causes.
    async fn charge(&self, source: Option<RequestSource>) -> Result<Option<SourceCall<'_>>, Refusal> {
        let Some(source) = source else { return Ok(None) };
        self.sources.charge(source).await.map(Some).map_err(|retry_after| {
            if self.may_log() {
                tracing::warn!(
                    ?source,
                    "too many tokens of one source are not accepted by the provider: new tokens of this source are answered 503"
                );
            }
            Refusal { kind: EgressErrorKind::SourceLimited, retry_after }
        })
    }

    /// Notes that the provider has just issued `credential`.
    pub(super) fn accept(&self, credential: Fingerprint) {
        self.credentials.accept(credential);
    }

    fn is_accepted(&self, presented: Presented) -> bool {
        presented.credential.is_some_and(|credential| self.credentials.is_accepted(&credential))
    }

    async fn admit(&self, presented: Presented) -> Result<Permit, Refusal> {
        let paused =
            || presented.credential.and_then(|credential| self.credentials.paused(credential)).map_or(Ok(()), Err);
        paused()?;
        let has_failed = presented.credential.is_some_and(|credential| self.credentials.has_failed(&credential));
        let is_accepted = self.is_accepted(presented);
        let caller = Caller { credential: presented.credential, is_accepted, has_failed, arrived: Instant::now() };
        let permit = self.circuit.admit(caller).await?;
        // A call with the same credential may have failed meanwhile.
        paused().map(|()| permit)
    }

    /// Returns 429 and 5xx as errors, except the rate limit of one user, whose token is paused.
    fn read(
        &self,
        mut response: Response<Bytes>,
        presented: Presented,
        uri: &Uri,
    ) -> Result<Response<Bytes>, EgressError> {
        let delay = state_retry_after(&mut response, self.clock.now());
        if is_limit_of_a_user(&response, presented)
            && let Some(credential) = presented.credential
        {
            self.credentials.pause(credential, EgressErrorKind::RateLimited, delay);
            return Ok(response);
        }
        let kind = match response.status() {
            StatusCode::TOO_MANY_REQUESTS => EgressErrorKind::RateLimited,
            status if status.is_server_error() => EgressErrorKind::ServerError,
            _ => return Ok(response),
        };
        let error = EgressError::new(kind, uri).with_status(response.status());
        Err(match delay {
            Some(delay) => error.with_retry_after(delay),
            None => error,
        })
    }

    fn answered(&self, permit: Permit, presented: Presented, answer: Answer, uri: &Uri) {
        let verdict = match (answer, presented.credential) {
            (Answer::Accepted, Some(credential)) => {
                self.credentials.accept(credential);
                Verdict::Accepted
            }
            (Answer::Refused { pause }, Some(credential)) => {
                if !pause.is_zero() {
                    self.credentials.pause(credential, EgressErrorKind::ClientRefused, Some(pause));
                }
                Verdict::Refused
            }
            (Answer::Accepted, None) => Verdict::Accepted,
            _ => Verdict::Answered,
        };
        if permit.answered(verdict) && self.may_log() {
            let host = uri.host();
            tracing::error!(
                host,
                "a provider refuses different credentials and accepted none lately: it may refuse this server, and is called less often"
            );
        }
    }

    /// Notes a failure, and returns how long the caller should not call the provider.
    fn failed(&self, permit: Permit, presented: Presented, failure: Failure, error: &EgressError) -> Duration {
        let pause = presented
            .credential
            .map(|credential| self.credentials.pause(credential, failure.kind.while_left_alone(), failure.asked));
        match permit.failed(failure) {
            Consequence::Opened(window) => {
                tracing::warn!(%error, window_seconds = window.as_secs_f64(), "a provider fails: its circuit breaker is open");
                pause.unwrap_or_default().max(window)
            }
            Consequence::Waiting(wait) => {
                if let Some(credential) = presented.credential.filter(|_| self.may_log()) {
                    tracing::warn!(%error, ?credential, "a provider fails with one credential, which is paused");
                }
                pause.unwrap_or_default().max(wait)
            }
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

/// Reports whether the user whose token was presented has reached a rate limit. Some providers say it by 403, with the time to come back or,
/// as GitHub does, with a remaining quota of zero.
fn is_limit_of_a_user(response: &Response<Bytes>, presented: Presented) -> bool {
    presented.is_bearer
        && match response.status() {
            StatusCode::TOO_MANY_REQUESTS => true,
            StatusCode::FORBIDDEN => response.headers().contains_key(RETRY_AFTER) || nothing_left(response.headers()),
            _ => false,
        }
}
