//! [`CircuitBreaker`]: leaves a failing provider alone, and pauses a failing credential.

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use portcullis_core::Clock;
use tower_service::Service;

use super::{Answer, CredentialKey, exchange::Exchanges};
use crate::EgressError;

/// Response future for [`CircuitBreaker`].
pub type CircuitBreakerFuture = Pin<Box<dyn Future<Output = Result<Response<Bytes>, EgressError>> + Send>>;

/// A circuit breaker that knows which credential each request presents: it leaves a failing provider alone, and pauses a failing
/// credential.
///
/// A call **fails** if it ends in an [`EgressError`] (unless that is [blocked](crate::EgressErrorKind::Blocked), which is not the
/// provider's doing), in a server error (5xx) or in 429. The last two become errors here. Every other response is an **answer**.
///
/// # One credential
///
/// What one [credential](crate::CredentialKey) provokes is remembered about that credential: after a failure it is not presented for
/// 1 s, then 2 s, up to 30 s; or longer, up to 5 min, if `Retry-After` says so. Up to a quarter of it is jitter. The rate limit of a
/// user (429 to a request with a bearer token, or a 403 that says when to come back or that nothing is left,
/// `x-ratelimit-remaining: 0`) is returned as it is, pauses that token in the same way, and counts as an answer.
///
/// # The provider
///
/// A credential is *accepted* if the provider accepted it before and it has not failed since; else it is *new*.
///
/// | state | calls that go out | event | next state |
/// |---|---|---|---|
/// | **closed** | all | a failure with a credential | suspected |
/// | | | a failure without a connection, or without a credential | open |
/// | **suspected** (half-open) | one at a time with an accepted credential; one at a time with a new credential, 1 s after the last failure once two different ones failed. Others wait for these calls, at most 1 s, and are then refused | an answer | closed |
/// | | | failures with two different credentials, one of them accepted | open |
/// | | | a failure without a connection, or without a credential | open |
/// | | | another failure | suspected |
/// | **open** | none until the window ends: 1 s, doubled each time up to 30 s, or what `Retry-After` says, up to 5 min, and up to a quarter more | the window ends, and a call comes | half-open |
/// | **half-open** | the one probe; others are refused | the probe is answered | closed |
/// | | | the probe fails, with a new credential | suspected |
/// | | | the probe fails otherwise | open, with the next window |
/// | | | the probe's caller goes away | open, without a window |
///
/// Among the new ones, callers that wait go before those that have just come, and credentials that have not failed before those that
/// have. A failure counts for nothing, except about its credential, if the provider answered another call after this one went out. In
/// *suspected*, a probe that is out for more than 1 s does not keep the next call waiting; and if the last failure asks by
/// `Retry-After` for more than 1 s, up to 30 s, new credentials wait for that long.
///
/// So a provider that cannot be connected to gets one call per window; one that fails or hangs gets two calls with new credentials, one with
/// an accepted credential, and then one call per window, or one a second while only new credentials come. And a requester that provokes failures with any number of junk tokens
/// stops neither calls with accepted credentials nor, while the provider answers others, calls with new ones. What is left to that
/// requester: while *no other* credential is answered, its tokens compete with those of new users for one probe each second.
///
/// # Refusals
///
/// A refusal that may be about this server as well as about the credential ([`Answer::Refused`], by [`send`](Self::send) only) pauses
/// the credential. From 16 different credentials on, if the provider has accepted none for 60 s, calls go out as in *suspected*
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
    exchanges: Arc<Exchanges>,
}

impl<S> CircuitBreaker<S> {
    /// A `CircuitBreaker` around `inner`; `clock` is for a `Retry-After` that is a date.
    #[must_use]
    pub fn new(inner: S, clock: Arc<dyn Clock>) -> Self {
        Self { inner, exchanges: Arc::new(Exchanges::new(clock)) }
    }

    /// Remembers `credential` as one that the provider accepted: for a refresh token that it has just issued.
    pub fn accept(&self, credential: CredentialKey) {
        self.exchanges.accept(credential.fingerprint());
    }

    /// Sends `request`; `judge` says what the response means, and returns what the caller wants of it.
    ///
    /// # Errors
    /// [`EgressError`], as by the service: `judge` sees no 5xx, and 429 only if it is the rate limit of a user.
    pub async fn send<T>(
        &self,
        request: Request<Bytes>,
        judge: impl FnOnce(Response<Bytes>) -> (T, Answer),
    ) -> Result<T, EgressError>
    where
        S: Service<Request<Bytes>, Response = Response<Bytes>, Error = EgressError> + Clone,
    {
        self.exchanges.send(self.inner.clone(), request, judge).await
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
        let (inner, exchanges) = (mem::replace(&mut self.inner, clone), Arc::clone(&self.exchanges));
        Box::pin(async move { exchanges.send(inner, request, by_status).await })
    }
}

fn by_status(response: Response<Bytes>) -> (Response<Bytes>, Answer) {
    let answer = if response.status().is_success() { Answer::Accepted } else { Answer::Answered };
    (response, answer)
}

impl<S: fmt::Debug> fmt::Debug for CircuitBreaker<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreaker").field("inner", &self.inner).finish_non_exhaustive()
    }
}
