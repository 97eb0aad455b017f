//! [`Shared`]: what all refreshes of one [`Refresher`](crate::Refresher) have in common.

use std::{fmt, sync::Arc};

use portcullis_core::{AuthError, Clock, Issuer, Reason};
use portcullis_egress::back_off_window;
use portcullis_oauth::TokenResponse;
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::util::BoxCloneSyncService;

use super::{
    current_tokens::Now,
    runtime::{Runtime, SharedTask},
    state::RefreshPolicy,
};
use crate::{GrantStore, RefreshError, TokenSet, config::RefresherConfig, telemetry::Telemetry};

/// The service that presents a refresh token, with its type erased.
pub(crate) type BoxedTokenRefresh = BoxCloneSyncService<Arc<TokenSet>, TokenResponse, RefreshError>;

/// What the callers that wait for a refresh get.
pub(crate) type RefreshResult = Result<Arc<TokenSet>, AuthError>;

/// What all refreshes of one [`Refresher`](crate::Refresher) have in common.
pub(crate) struct Shared {
    pub(crate) store: GrantStore,
    pub(crate) token_refresh: BoxedTokenRefresh,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) config: RefresherConfig,
    pub(crate) telemetry: Telemetry,
    /// The background tasks that a shutdown waits for.
    pub(crate) tasks: TaskTracker,
    /// Cancelled when the process shuts down, or when the last user of this value is gone.
    pub(crate) draining: CancellationToken,
    pub(super) runtime: Runtime,
}

impl Shared {
    /// Creates the shared parts; tasks are spawned on the current runtime.
    ///
    /// # Panics
    /// Panics outside of a tokio runtime.
    pub(crate) fn new(store: GrantStore, token_refresh: BoxedTokenRefresh, config: RefresherConfig) -> Self {
        Self {
            telemetry: Telemetry::new(config.name),
            store,
            token_refresh,
            clock: Arc::clone(&config.clock),
            config,
            tasks: TaskTracker::new(),
            draining: CancellationToken::new(),
            runtime: Runtime::current(),
        }
    }

    pub(crate) const fn issuer(&self) -> &Issuer {
        &self.config.issuer
    }

    pub(crate) fn now(&self) -> Now {
        Now { monotonic: Instant::now(), calendar: self.clock.now() }
    }

    pub(super) fn policy(&self) -> RefreshPolicy {
        RefreshPolicy {
            early_margin: self.config.early,
            defer_when_possibly_spent: self.config.defers_when_possibly_spent(),
            jitter: rand::random,
            cool_down: back_off_window,
        }
    }

    /// Runs `work` on a task of its own. A shutdown waits for it; dropping the returned task does not cancel it.
    pub(super) fn spawn_refresh(
        &self,
        work: impl Future<Output = RefreshResult> + Send + 'static,
    ) -> SharedTask<RefreshResult> {
        let failed = |_| Err(AuthError::new(Reason::VerifierFailed));
        self.runtime.spawn(self.tasks.track_future(work), failed)
    }

    /// Runs `work` in the background. A shutdown waits for it.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        drop(self.runtime.spawn(self.tasks.track_future(work), drop));
    }
}

/// With the last user, which may be a refresh task, the background tasks that only wait become useless.
impl Drop for Shared {
    fn drop(&mut self) {
        self.draining.cancel();
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("issuer", &self.config.issuer).finish_non_exhaustive()
    }
}
