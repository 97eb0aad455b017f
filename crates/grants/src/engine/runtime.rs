//! Locks, tasks and pauses of the engine.
//!
//! They are those of std and tokio. The unit tests of this crate use shuttle's instead, which runs the engine under many
//! interleavings of its tasks; nothing else about the engine differs there.

#[cfg(not(test))]
pub(crate) use production::{Runtime, sleep};
#[cfg(test)]
pub(crate) use shuttle::sync::{Mutex, MutexGuard};
#[cfg(not(test))]
pub(crate) use std::sync::{Mutex, MutexGuard};

#[cfg(test)]
pub(crate) use model::{Runtime, sleep};

/// The task of a spawned future ended without a result: it panicked, or its runtime stopped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TaskFailed;

#[cfg(not(test))]
mod production {
    use futures_util::FutureExt as _;
    use tokio::runtime::Handle;
    pub(crate) use tokio::time::sleep;

    use super::TaskFailed;

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

        /// Runs `future` on a task of its own, which dropping the returned future does not cancel.
        pub(crate) fn spawn<T, F>(&self, future: F) -> impl Future<Output = Result<T, TaskFailed>> + Send + use<T, F>
        where
            T: Send + 'static,
            F: Future<Output = T> + Send + 'static,
        {
            self.0.spawn(future).map(|joined| joined.map_err(|_| TaskFailed))
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

    use futures_util::FutureExt as _;
    use shuttle::future::AbortHandle;

    use super::TaskFailed;

    /// A runtime of shuttle's tasks, which a test may stop.
    #[derive(Default)]
    pub(crate) struct Runtime(Mutex<Vec<AbortHandle>>);

    impl Runtime {
        pub(crate) fn current() -> Self {
            Self::default()
        }

        /// As a task of tokio does, the task contains its panic.
        pub(crate) fn spawn<T, F>(&self, future: F) -> impl Future<Output = Result<T, TaskFailed>> + Send + use<T, F>
        where
            T: Send + 'static,
            F: Future<Output = T> + Send + 'static,
        {
            let task = shuttle::future::spawn(AssertUnwindSafe(future).catch_unwind());
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(task.abort_handle());
            task.map(|joined| joined.ok().and_then(Result::ok).ok_or(TaskFailed))
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
