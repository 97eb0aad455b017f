//! Locks, tasks and pauses of the engine.
//!
//! They are those of std and tokio. The unit tests of this crate use shuttle's instead, which runs the engine under many
//! interleavings of its tasks; nothing else about the engine differs there.

#[cfg(test)]
pub(crate) use model::{Runtime, SharedTask, sleep};
#[cfg(not(test))]
pub(crate) use production::{Runtime, SharedTask, sleep};
#[cfg(test)]
pub(crate) use shuttle::sync::{Mutex, MutexGuard};
#[cfg(not(test))]
pub(crate) use std::sync::{Mutex, MutexGuard};

#[cfg(not(test))]
mod production {
    pub(crate) use portcullis_remote::SharedTask;
    pub(crate) use tokio::time::sleep;
    use tokio::{runtime::Handle, task::JoinError};

    /// The runtime that tasks are spawned on. Callers may run on another one, or on none.
    pub(crate) struct Runtime(Handle);

    impl Runtime {
        /// Returns the current runtime.
        ///
        /// # Panics
        /// Panics outside of a tokio runtime.
        pub(crate) fn current() -> Self {
            Self(Handle::current())
        }

        /// Runs `future` on a task of its own, which dropping the returned future does not cancel. A task that panics, or whose
        /// runtime stops, has the outcome that `failed` returns.
        pub(crate) fn spawn<T: Clone + Send + Sync + 'static>(
            &self,
            future: impl Future<Output = T> + Send + 'static,
            failed: fn(JoinError) -> T,
        ) -> SharedTask<T> {
            SharedTask::new(self.0.spawn(future), failed)
        }
    }
}

#[cfg(test)]
mod model {
    use std::{
        panic::AssertUnwindSafe,
        sync::{Mutex, PoisonError},
        time::Duration,
    };

    use futures_util::{
        FutureExt as _,
        future::{BoxFuture, Shared},
    };
    use shuttle::future::{AbortHandle, JoinError};

    /// The counterpart of the `SharedTask` of production.
    #[derive(Clone)]
    pub(crate) struct SharedTask<T>(Shared<BoxFuture<'static, T>>);

    impl<T> SharedTask<T> {
        pub(crate) fn is_finished(&self) -> bool {
            self.0.peek().is_some()
        }
    }

    impl<T: Clone> Future for SharedTask<T> {
        type Output = T;

        fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<T> {
            self.0.poll_unpin(cx)
        }
    }

    /// A runtime of shuttle's tasks, which a test may stop.
    #[derive(Default)]
    pub(crate) struct Runtime(Mutex<Vec<AbortHandle>>);

    impl Runtime {
        pub(crate) fn current() -> Self {
            Self::default()
        }

        /// As a task of tokio does, the task contains its panic.
        pub(crate) fn spawn<T: Clone + Send + Sync + 'static>(
            &self,
            future: impl Future<Output = T> + Send + 'static,
            failed: fn(JoinError) -> T,
        ) -> SharedTask<T> {
            let task = shuttle::future::spawn(AssertUnwindSafe(future).catch_unwind());
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(task.abort_handle());
            let joined = task.map(move |joined| match joined {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(_)) | Err(_) => failed(JoinError::Cancelled),
            });
            SharedTask(joined.boxed().shared())
        }

        /// Drops the futures of all tasks, wherever they are, as a runtime does that shuts down.
        pub(crate) fn stop(&self) {
            let tasks = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
            tasks.iter().for_each(AbortHandle::abort);
        }
    }

    /// Time is not modelled: whatever is ready to run may run before a pause is over, or after it.
    pub(crate) async fn sleep(_: Duration) {
        shuttle::future::yield_now().await;
    }
}
