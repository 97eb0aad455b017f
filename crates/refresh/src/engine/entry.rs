//! [`GrantEntry`]: the state of one grant in this process, shared by all callers that want its tokens.

use std::{
    fmt,
    sync::{Arc, PoisonError},
};

use portcullis_core::{AccessToken, AuthError, Generation, GrantId, Revocation};

use super::{
    runtime::{Mutex, MutexGuard, SharedTask},
    shared::{RefreshResult, Shared},
    state::{GrantState, RefreshJob, RefreshOutcome, Row, RunningRefresh},
};
use crate::{Lease, TokenSet};

/// A refresh in progress, for all callers that wait for it. Dropping it cancels nothing.
pub(crate) type SharedRefresh = SharedTask<RefreshResult>;

impl RunningRefresh for SharedRefresh {
    fn is_dead(&self) -> bool {
        // A refresh that completes leaves the state before its task is finished. This one is finished, and still there.
        self.is_finished()
    }
}

/// The state of one grant in this process. Neither of its locks is held across an await.
pub(crate) struct GrantEntry {
    pub(crate) id: GrantId,
    pub(crate) shared: Arc<Shared>,
    /// Revoked when the grant has ended.
    pub(crate) revocation: Arc<Revocation>,
    state: Mutex<GrantState<SharedRefresh>>,
    /// The lease that is kept while new tokens could not be saved. The next refresh in this process takes it over.
    unsaved_lease: Mutex<Option<Lease>>,
}

impl GrantEntry {
    pub(super) fn new(id: GrantId, shared: Arc<Shared>) -> Self {
        let (state, unsaved_lease) = (Mutex::new(GrantState::new()), Mutex::new(None));
        Self { id, shared, revocation: Arc::default(), state, unsaved_lease }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, GrantState<SharedRefresh>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn unsaved_lease(&self) -> MutexGuard<'_, Option<Lease>> {
        self.unsaved_lease.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the access token if it is fresh. Most calls take this path: it allocates nothing.
    ///
    /// `reported` is the generation of a token that the provider rejected.
    pub(crate) fn fresh_token(&self, reported: Option<Generation>) -> Option<AccessToken> {
        let token = self.state().fresh_tokens(self.shared.now(), reported)?.access_token().clone();
        if reported.is_some() {
            self.shared.telemetry.reports_ignored.increment(1);
        }
        Some(token)
    }

    /// Reports whether there is an access token that works, so that no caller has to wait.
    pub(crate) fn has_working_token(&self, reported: Option<Generation>) -> bool {
        self.state().has_working_token(self.shared.now(), reported)
    }

    /// Makes `tokens` the current ones, unless there are newer ones.
    pub(super) fn install(&self, tokens: &Arc<TokenSet>) {
        self.state().install(self.shared.now(), tokens, self.shared.policy());
    }

    /// Records the result of a refresh, and returns the result for the callers that wait for it.
    pub(super) fn complete(&self, job: &RefreshJob, outcome: RefreshOutcome) -> RefreshResult {
        let has_ended = matches!(outcome, RefreshOutcome::Ended { .. });
        let result = self.state().complete(self.shared.now(), job, outcome, self.shared.policy());
        if has_ended {
            self.revocation.revoke();
        }
        result
    }

    /// Ends the grant in this process and revokes what was derived from it. Returns the tokens that it had in this process.
    pub(crate) fn end(&self, error: AuthError, row: Row) -> Option<Arc<TokenSet>> {
        let tokens = self.state().end(error, row);
        self.revocation.revoke();
        tokens
    }
}

impl fmt::Debug for GrantEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrantEntry").field("id", &self.id).finish_non_exhaustive()
    }
}
