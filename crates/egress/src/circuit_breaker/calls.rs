//! [`Calls`]: one call from admission to verdict.

use std::{
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, Uri, header::RETRY_AFTER};
use portcullis_core::{Clock, Fingerprint, RequestSource};
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};
use tower::ServiceExt as _;
use tower_service::Service;

use super::{
    Answer, Refusal,
    circuit::{Circuit, Permit},
    credential_key::Presented,
    credentials::Credentials,
    state::{Consequence, Failure, Verdict},
    suspicion::Caller,
    window::retry_after,
};
use crate::{EgressError, EgressErrorKind, Rate, RateLimiter};

/// The rate of calls that the credentials of one source may cause; accepted ones are not counted.
const PER_SOURCE: Rate = Rate::new(100, Duration::from_secs(1));
/// How long a call whose source has reached its limit waits for running calls, which may turn out to be of accepted credentials.
const SOURCE_TIMEOUT: Duration = Duration::from_secs(5);
/// The shortest time between two log entries about single credentials.
const LOG_INTERVAL: Duration = Duration::from_secs(5);

/// The state that the clones of a circuit breaker share, and the way of a call through it.
pub(super) struct Calls {
    circuit: Arc<Circuit>,
    credentials: Credentials,
    sources: RateLimiter,
    /// The number of running calls that count for their source, and the event that one of them ends.
    in_flight: AtomicUsize,
    call_ended: Notify,
    clock: Arc<dyn Clock>,
    next_log: Mutex<Option<Instant>>,
}

impl Calls {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            circuit: Arc::new(Circuit::new()),
            credentials: Credentials::default(),
            sources: RateLimiter::new(PER_SOURCE),
            in_flight: AtomicUsize::new(0),
            call_ended: Notify::new(),
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
        self.charge(source).await.map_err(refused)?;
        let _in_flight = source.map(|_| InFlight::new(self));
        let permit = match self.admit(presented).await {
            Ok(permit) => permit,
            Err(refusal) => {
                self.refund(source);
                return Err(refused(refusal));
            }
        };
        let response = match inner.ready().await {
            Ok(inner) => inner.call(request).await,
            Err(error) => Err(error),
        };
        let response = match response.and_then(|response| self.read(response, presented, &uri)) {
            Ok(response) => response,
            // Dropping the permit says nothing about the provider.
            Err(error) if error.kind() == EgressErrorKind::Blocked => {
                self.refund(source);
                return Err(error);
            }
            Err(error) => {
                if error.kind() == EgressErrorKind::Connect {
                    self.refund(source);
                }
                let failure = Failure { kind: error.kind(), asked: error.retry_after() };
                let pause = self.failed(permit, presented, failure, &error);
                return Err(error.with_retry_after(pause));
            }
        };
        let is_limit = is_limit_of_a_user(&response, presented);
        let (judged, answer) = judge(response);
        if answer == Answer::Accepted {
            self.refund(source);
        }
        match answer {
            Answer::Failed { kind, retry_after } if !is_limit => {
                let failure = Failure { kind, asked: retry_after };
                self.failed(permit, presented, failure, &EgressError::new(kind, &uri));
            }
            answer => self.answered(permit, presented, answer, &uri),
        }
        Ok(judged)
    }

    /// Counts a call that a credential from `source` causes.
    ///
    /// Running calls may turn out to be of accepted credentials, which are not counted: while there are any, the call waits for them up to
    /// [`SOURCE_TIMEOUT`].
    async fn charge(&self, source: Option<RequestSource>) -> Result<(), Refusal> {
        let Some(source) = source else { return Ok(()) };
        let deadline = Instant::now() + SOURCE_TIMEOUT;
        loop {
            let mut call_ended = pin!(self.call_ended.notified());
            call_ended.as_mut().enable();
            let Err(retry_after) = self.sources.acquire(source) else { return Ok(()) };
            let may_be_refunded = self.in_flight.load(Ordering::Relaxed) > 0;
            if may_be_refunded && timeout_at(deadline, call_ended).await.is_ok() {
                continue;
            }
            if self.may_log() {
                tracing::warn!(
                    ?source,
                    "too many tokens of one source are not accepted by the provider: new tokens of this source are answered 503"
                );
            }
            return Err(Refusal { kind: EgressErrorKind::SourceLimited, retry_after });
        }
    }

    /// Notes that the provider has just issued `credential`.
    pub(super) fn accept(&self, credential: Fingerprint) {
        self.credentials.accept(credential);
    }

    /// Does not count a call of `source`: it did not reach the provider, or its credential was accepted.
    fn refund(&self, source: Option<RequestSource>) {
        if let Some(source) = source {
            self.sources.refund(source);
        }
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
    fn read(&self, response: Response<Bytes>, presented: Presented, uri: &Uri) -> Result<Response<Bytes>, EgressError> {
        let delay = || retry_after(response.headers(), self.clock.now());
        if is_limit_of_a_user(&response, presented)
            && let Some(credential) = presented.credential
        {
            self.credentials.pause(credential, EgressErrorKind::RateLimited, delay());
            return Ok(response);
        }
        let kind = match response.status() {
            StatusCode::TOO_MANY_REQUESTS => EgressErrorKind::RateLimited,
            status if status.is_server_error() => EgressErrorKind::ServerError,
            _ => return Ok(response),
        };
        let error = EgressError::new(kind, uri).with_status(response.status());
        Err(match delay() {
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

/// A running call that counts for its source.
struct InFlight<'a>(&'a Calls);

impl<'a> InFlight<'a> {
    fn new(calls: &'a Calls) -> Self {
        calls.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(calls)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.0.call_ended.notify_waiters();
    }
}

/// Reports whether the user whose token was presented has reached a rate limit. Some providers say it by 403, with the time to come back or,
/// as GitHub does, with a remaining quota of zero.
fn is_limit_of_a_user(response: &Response<Bytes>, presented: Presented) -> bool {
    let headers: &HeaderMap = response.headers();
    let nothing_left = || headers.get("x-ratelimit-remaining").is_some_and(|remaining| remaining == "0");
    presented.is_bearer
        && match response.status() {
            StatusCode::TOO_MANY_REQUESTS => true,
            StatusCode::FORBIDDEN => headers.contains_key(RETRY_AFTER) || nothing_left(),
            _ => false,
        }
}
