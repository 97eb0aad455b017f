//! [`StrictService`]: an inner service that enforces tower's contract.

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker, ready},
};

use pin_project_lite::pin_project;
use tower_service::Service;

/// An inner service that enforces tower's contract: `call` **panics** unless `poll_ready` of *this* instance has returned
/// ready since its last call. A clone is not ready, so middleware that calls a fresh clone panics.
///
/// It counts the calls of all its clones: keep one clone to read the counters.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use std::convert::Infallible;
///
/// use portcullis_testkit::StrictService;
/// use tower::ServiceExt;
///
/// let strict = StrictService::new(async |n: u32| Ok::<_, Infallible>(n + 1));
/// assert_eq!(strict.clone().oneshot(1).await, Ok(2));
/// assert_eq!((strict.calls(), strict.completed(), strict.dropped()), (1, 1, 0));
/// # });
/// ```
pub struct StrictService<F> {
    respond: F,
    readied: bool,
    log: Arc<Log>,
}

#[derive(Default)]
struct Log {
    calls: AtomicUsize,
    completed: AtomicUsize,
    dropped: AtomicUsize,
    gate: Mutex<Gate>,
}

/// The wakers of the tasks that wait for readiness, if it is withheld.
#[derive(Default)]
struct Gate {
    closed: bool,
    waiting: Vec<Waker>,
}

impl<F> StrictService<F> {
    /// Creates a service that returns the outcome of `respond`.
    pub fn new(respond: F) -> Self {
        Self { respond, readied: false, log: Arc::default() }
    }

    /// Sets whether `poll_ready` may return ready from now on. Default: it may.
    pub fn set_ready(&self, ready: bool) {
        let waiting = {
            let mut gate = self.log.gate.lock().unwrap_or_else(PoisonError::into_inner);
            gate.closed = !ready;
            if ready { mem::take(&mut gate.waiting) } else { Vec::new() }
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Returns the number of calls.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.log.calls.load(Ordering::SeqCst)
    }

    /// Returns the number of responses that were ready.
    #[must_use]
    pub fn completed(&self) -> usize {
        self.log.completed.load(Ordering::SeqCst)
    }

    /// Returns the number of response futures that were dropped before they were ready.
    #[must_use]
    pub fn dropped(&self) -> usize {
        self.log.dropped.load(Ordering::SeqCst)
    }
}

impl<F: Clone> Clone for StrictService<F> {
    /// Returns a clone that is not ready.
    fn clone(&self) -> Self {
        Self { respond: self.respond.clone(), readied: false, log: Arc::clone(&self.log) }
    }
}

impl<F, Req, Fut, Res, E> Service<Req> for StrictService<F>
where
    F: Fn(Req) -> Fut,
    Fut: Future<Output = Result<Res, E>>,
{
    type Response = Res;
    type Error = E;
    type Future = StrictFuture<Fut>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        let mut gate = self.log.gate.lock().unwrap_or_else(PoisonError::into_inner);
        if gate.closed {
            gate.waiting.push(cx.waker().clone());
            return Poll::Pending;
        }
        self.readied = true;
        Poll::Ready(Ok(()))
    }

    #[expect(clippy::panic, reason = "a breach of the contract ends the test")]
    fn call(&mut self, request: Req) -> Self::Future {
        if !mem::take(&mut self.readied) {
            panic!(
                "called without being ready: poll_ready of this instance has not returned Ready since its last call"
            );
        }
        self.log.calls.fetch_add(1, Ordering::SeqCst);
        let unfinished = Unfinished { log: Arc::clone(&self.log), completed: false };
        StrictFuture { response: (self.respond)(request), unfinished }
    }
}

impl<F> fmt::Debug for StrictService<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StrictService")
            .field("readied", &self.readied)
            .field("calls", &self.calls())
            .field("completed", &self.completed())
            .field("dropped", &self.dropped())
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// Response future for [`StrictService`].
    #[must_use = "futures do nothing unless polled"]
    pub struct StrictFuture<Fut> {
        #[pin]
        response: Fut,
        unfinished: Unfinished,
    }
}

struct Unfinished {
    log: Arc<Log>,
    completed: bool,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.completed {
            self.log.dropped.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl<Fut: Future> Future for StrictFuture<Fut> {
    type Output = Fut::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let output = ready!(this.response.poll(cx));
        this.unfinished.completed = true;
        this.unfinished.log.completed.fetch_add(1, Ordering::SeqCst);
        Poll::Ready(output)
    }
}

impl<Fut> fmt::Debug for StrictFuture<Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StrictFuture").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, future};

    use tower::ServiceExt;

    use super::*;

    async fn echo(n: u32) -> Result<u32, Infallible> {
        Ok(n)
    }

    #[tokio::test]
    #[should_panic(expected = "called without being ready")]
    async fn a_clone_of_a_readied_instance_is_not_ready() {
        let mut strict = StrictService::new(echo);
        strict.ready().await.expect("infallible");
        let _response = strict.clone().call(1);
    }

    #[tokio::test]
    #[should_panic(expected = "called without being ready")]
    async fn readiness_is_good_for_one_call() {
        let mut strict = StrictService::new(echo);
        assert_eq!(strict.ready().await.expect("infallible").call(1).await, Ok(1));
        let _response = strict.call(2);
    }

    #[tokio::test]
    async fn a_dropped_response_is_told_from_a_completed_one() {
        let strict = StrictService::new(|_: u32| future::pending::<Result<u32, Infallible>>());
        drop(strict.clone().ready().await.expect("infallible").call(1));
        assert_eq!((strict.calls(), strict.completed(), strict.dropped()), (1, 0, 1));
    }

    #[tokio::test]
    async fn readiness_can_be_withheld() {
        let strict = StrictService::new(echo);
        strict.set_ready(false);
        let waiter = tokio::spawn(strict.clone().oneshot(7));
        tokio::task::yield_now().await;
        assert_eq!(strict.calls(), 0);
        strict.set_ready(true);
        assert_eq!(waiter.await.expect("no panic"), Ok(7));
        assert_eq!((strict.calls(), strict.completed()), (1, 1));
    }
}
