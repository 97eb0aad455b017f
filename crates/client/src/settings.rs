//! [`Settings`]: what the parts of a manager have in common: its configuration, its tasks, and the memory of a failure.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use portcullis_core::{AuthError, Clock, Reason};
use portcullis_egress::back_off_window;
use portcullis_refresh::GrantStore;
use portcullis_remote::SharedTask;
use tokio::{runtime::Handle, task::JoinError, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{AcquireError, Grant};

/// What the parts of a manager have in common.
pub(crate) struct Settings {
    pub(crate) grant: Arc<dyn Grant>,
    pub(crate) store: GrantStore,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) early_refresh: Duration,
    pub(crate) exchange_timeout: Duration,
    pub(crate) tasks: Tasks,
}

/// The tasks of a manager, on the runtime in which it was built.
pub(crate) struct Tasks {
    pub(crate) runtime: Handle,
    pub(crate) tracker: TaskTracker,
    /// Cancelled when the manager shuts down.
    pub(crate) draining: CancellationToken,
}

impl Tasks {
    pub(crate) fn current() -> Self {
        Self { runtime: Handle::current(), tracker: TaskTracker::new(), draining: CancellationToken::new() }
    }

    /// Runs `work` on a task of its own, which no caller can cancel.
    pub(crate) fn share<T: Clone + Send + Sync + 'static>(
        &self,
        work: impl Future<Output = Result<T, AcquireError>> + Send + 'static,
    ) -> SharedTask<Result<T, AcquireError>> {
        SharedTask::new(self.runtime.spawn(self.tracker.track_future(work)), failed)
    }
}

fn failed<T>(_: JoinError) -> Result<T, AcquireError> {
    Err(AcquireError::Unavailable(AuthError::new(Reason::VerifierFailed)))
}

/// The memory of a failure: until its time the error is the answer.
#[derive(Default)]
pub(crate) struct BackOff {
    failures: u32,
    until: Option<(Instant, AcquireError)>,
}

impl BackOff {
    /// Records a failure.
    pub(crate) fn fail(&mut self, error: &AcquireError) {
        let pause = back_off_window(self.failures, error.retry_after());
        self.failures = self.failures.saturating_add(1);
        self.until = Some((Instant::now() + pause, error.clone()));
    }

    /// Returns the error of the last failure and the time that is left of it.
    pub(crate) fn active(&self) -> Option<(Duration, AcquireError)> {
        let (until, error) = self.until.as_ref()?;
        let left = until.saturating_duration_since(Instant::now());
        (!left.is_zero()).then(|| (left, error.clone().with_retry_after(left)))
    }
}

pub(crate) fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
