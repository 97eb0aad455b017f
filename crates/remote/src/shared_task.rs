//! [`SharedTask`]: a spawned task whose outcome is shared by its waiters.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_util::{FutureExt as _, future::Shared};
use tokio::task::{AbortHandle, JoinError, JoinHandle};

/// A spawned task whose outcome is shared by all callers that wait for it. Each clone is a future of the outcome.
///
/// 1. Dropping a waiter, or all of them, does **not** cancel the task.
/// 2. If the task panics or its runtime stops, each waiter gets the outcome that `failed` makes of the [`JoinError`].
/// 3. A task that [is finished](Self::is_finished) must not be joined any more: a caller that finds one in its state replaces it. Code that
///    runs on the task has then run to its end, so a task may remove itself from that state before it is finished.
///
/// To keep one of them per key, use a [`SingleFlight`](crate::SingleFlight).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use portcullis_remote::SharedTask;
///
/// let task = SharedTask::spawn(async { Ok(42) }, |_| Err("the task failed"));
/// assert_eq!(task.clone().await, Ok(42));
/// assert_eq!(task.await, Ok(42));
///
/// let panics = SharedTask::spawn(async { panic!("on purpose") }, |_| Err::<u8, _>("the task failed"));
/// assert_eq!(panics.await, Err("the task failed"));
/// # }
/// ```
#[must_use = "a task that nothing waits for should be dropped explicitly"]
pub struct SharedTask<T> {
    outcome: Shared<Outcome<T>>,
    task: AbortHandle,
}

impl<T: Clone + Send + Sync + 'static> SharedTask<T> {
    /// Spawns `task` on the current runtime; `failed` makes an outcome of a panic and of the end of the runtime.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn spawn(task: impl Future<Output = T> + Send + 'static, failed: fn(JoinError) -> T) -> Self {
        Self::new(tokio::spawn(task), failed)
    }

    /// Shares the outcome of `task`, which has been spawned: on a given runtime, or by a tracker.
    pub fn new(task: JoinHandle<T>, failed: fn(JoinError) -> T) -> Self {
        Self { task: task.abort_handle(), outcome: Outcome { task, failed }.shared() }
    }

    /// Reports whether the task has ended: by its outcome, by a panic, or with its runtime.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }
}

impl<T> Clone for SharedTask<T> {
    fn clone(&self) -> Self {
        Self { outcome: self.outcome.clone(), task: self.task.clone() }
    }
}

impl<T: Clone> Future for SharedTask<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        self.outcome.poll_unpin(cx)
    }
}

impl<T> fmt::Debug for SharedTask<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedTask").field("is_finished", &self.task.is_finished()).finish_non_exhaustive()
    }
}

/// The outcome of a task, which always has one.
struct Outcome<T> {
    task: JoinHandle<T>,
    failed: fn(JoinError) -> T,
}

impl<T> Future for Outcome<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let joined = ready!(self.task.poll_unpin(cx));
        Poll::Ready(joined.unwrap_or_else(self.failed))
    }
}
