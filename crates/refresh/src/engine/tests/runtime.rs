//! Shuttle's locks, tasks and pauses in the place of tokio's: they run the engine under many interleavings of its tasks.

use std::{
    panic::AssertUnwindSafe,
    pin::Pin,
    task::{Context, Poll},
    thread,
    time::Duration,
};

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use shuttle::future::{AbortHandle, JoinError, JoinHandle};
pub(crate) use shuttle::sync::{Mutex, MutexGuard};

/// The counterpart of the `SharedTask` of production.
#[derive(Clone)]
pub(crate) struct SharedTask<T>(Shared<BoxFuture<'static, T>>);

impl<T: Clone + Send + Sync + 'static> SharedTask<T> {
    pub(crate) fn new(task: JoinHandle<thread::Result<T>>, failed: fn(JoinError) -> T) -> Self {
        let joined = task.map(move |joined| match joined {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) | Err(_) => failed(JoinError::Cancelled),
        });
        Self(joined.boxed().shared())
    }
}

impl<T> SharedTask<T> {
    pub(crate) fn is_finished(&self) -> bool {
        self.0.peek().is_some()
    }
}

impl<T: Clone> Future for SharedTask<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        self.0.poll_unpin(cx)
    }
}

/// A runtime of shuttle's tasks, which a test may stop.
#[derive(Default)]
pub(crate) struct Handle(std::sync::Mutex<Vec<AbortHandle>>);

impl Handle {
    pub(crate) fn current() -> Self {
        Self::default()
    }

    /// As a task of tokio does, the task contains its panic.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<thread::Result<T>> {
        let task = shuttle::future::spawn(AssertUnwindSafe(future).catch_unwind());
        self.0.lock().expect("not poisoned").push(task.abort_handle());
        task
    }

    /// Drops the futures of all tasks, wherever they are, as a runtime does that shuts down.
    pub(crate) fn stop(&self) {
        let tasks = std::mem::take(&mut *self.0.lock().expect("not poisoned"));
        tasks.iter().for_each(AbortHandle::abort);
    }
}

/// Time is not modelled: whatever is ready to run may run before a pause is over, or after it.
pub(crate) async fn sleep(_: Duration) {
    shuttle::future::yield_now().await;
}
