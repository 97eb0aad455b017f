//! [`BackgroundTasks`]: tasks that continue when the client disconnects.

use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::response::{ErrorCode, OAuthError};

/// Tasks that continue when the client disconnects, and that a shutdown waits for.
#[derive(Clone, Debug, Default)]
pub(crate) struct BackgroundTasks(TaskTracker);

impl BackgroundTasks {
    /// Runs `work` to its end on a task of its own, also if the client disconnects.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, OAuthError>> + Send + 'static,
    ) -> Result<T, OAuthError> {
        self.0.spawn(work.in_current_span()).await.unwrap_or_else(|error| {
            tracing::error!(%error, "request task panicked");
            Err(OAuthError::new(ErrorCode::ServerError, "internal error"))
        })
    }

    /// Starts `work` without waiting for it.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(work);
    }

    /// Waits for all tasks.
    pub(crate) async fn shutdown(&self) {
        self.0.close();
        self.0.wait().await;
    }
}
