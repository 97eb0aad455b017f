//! [`CircuitBreakerLayer`] and [`CircuitBreaker`]: the circuit breaker as a tower service.

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use portcullis_core::{Clock, SystemClock};
use tower_layer::Layer;
use tower_service::Service;

use super::{CredentialKey, calls::Calls};
use crate::{EgressError, EgressErrorKind};

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
/// `x-ratelimit-remaining: 0`) is returned as it is, pauses that token in the same way, and counts as an answer.
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
/// reach the provider are not counted. So one source cannot spend the rate limit that the provider has for this server. The limit
/// holds in one process.
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
