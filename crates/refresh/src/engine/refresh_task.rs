//! [`RefreshTask`]: one refresh, on a task of its own.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use portcullis_core::{AuthError, Generation, Reason};
use portcullis_oauth::TokenResponse;
use tokio::time::{Instant, timeout};
use tower::ServiceExt as _;
use tower_service::Service as _;
use tracing::Instrument as _;

use super::{
    commit::{LeaseGuard, save},
    pool::{BoxedTokenRefresh, GrantEntry, RefreshResult, Shared, SharedRefresh},
    refusal_evidence::Verdict,
    runtime::sleep,
    state::{Decision, RefreshJob, RefreshOutcome, Row},
};
use crate::{RefreshError, RefreshErrorKind, StoreError, StoredGrant, TokenSet};

/// The pauses between two reads of a row whose lease another process holds.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Asks for the tokens of a grant; starts a refresh if the state of the grant requires one.
///
/// `reported` is the generation of an access token that the provider rejected.
pub(crate) fn ask(entry: &Arc<GrantEntry>, reported: Option<Generation>) -> Decision<SharedRefresh> {
    let decision = ask_again(entry, reported);
    if let Decision::Ready(tokens) = &decision
        && reported.is_some_and(|reported| reported < tokens.generation())
    {
        entry.shared.telemetry.reports_ignored.increment(1);
    }
    decision
}

/// As [`ask`], for a caller that waited for a refresh and found its result insufficient.
pub(crate) fn ask_again(entry: &Arc<GrantEntry>, reported: Option<Generation>) -> Decision<SharedRefresh> {
    let shared = &entry.shared;
    let decision = entry.state().ask(shared.now(), reported, shared.policy(), |job| spawn_refresh(entry, job));
    if let Decision::Wait { joined: true, .. } = &decision {
        shared.telemetry.coalesced.increment(1);
    }
    decision
}

/// Starts a refresh. The state of the entry is locked meanwhile, so nothing of the task may run here.
fn spawn_refresh(entry: &Arc<GrantEntry>, job: RefreshJob) -> SharedRefresh {
    let shared = Arc::clone(&entry.shared);
    let entry = Arc::clone(entry);
    shared.spawn_refresh(async move {
        // The guard is created by the task. If the runtime has stopped, the future is dropped without a poll, while the state is
        // locked: a guard that existed by then would lock it again.
        let guard = CompletionGuard { entry: &entry, job: Some(job) };
        guard.run().await
    })
}

/// Completes a refresh, whatever becomes of its task: one that panics or is dropped has failed.
struct CompletionGuard<'a> {
    entry: &'a Arc<GrantEntry>,
    /// `None` once it has completed.
    job: Option<RefreshJob>,
}

impl CompletionGuard<'_> {
    async fn run(mut self) -> RefreshResult {
        let job = self.job.clone().expect("a new guard has a job");
        let outcome = RefreshTask { entry: self.entry, shared: &self.entry.shared, job: &job }.run().await;
        self.job = None;
        self.entry.complete(&job, outcome)
    }
}

impl Drop for CompletionGuard<'_> {
    fn drop(&mut self) {
        if let Some(job) = self.job.take() {
            tracing::error!(grant = %self.entry.id, "refresh task ended without a result");
            let error = AuthError::new(Reason::VerifierFailed);
            drop(self.entry.complete(&job, RefreshOutcome::Failed { error, possibly_spent: true }));
        }
    }
}

/// One refresh of one grant:
///
/// 1. [`read`](Self::read) the row, unless this process has tokens. The row may have what is wanted.
/// 2. [`acquire_lease`](Self::acquire_lease): one process at a time goes on.
/// 3. [`prepare`](Self::prepare): read the row again, now that no other process writes it.
/// 4. [`present`](Self::present) the refresh token, once.
/// 5. [`save`] the new tokens; the lease ends with the write. Or decide what the [failure](Self::failed) means.
struct RefreshTask<'a> {
    entry: &'a Arc<GrantEntry>,
    shared: &'a Shared,
    job: &'a RefreshJob,
}

/// `Err` is an early result: nothing more is to be done.
type Step<T> = Result<T, RefreshOutcome>;

impl RefreshTask<'_> {
    async fn run(&self) -> RefreshOutcome {
        match self.read_and_lease().await {
            Ok(lease) => lease.with_renewal(self.refresh(lease)).await,
            Err(outcome) => outcome,
        }
    }

    async fn read_and_lease(&self) -> Step<LeaseGuard<'_>> {
        // A process without tokens usually needs no lease: the row has tokens that work.
        if self.job.current.is_none() {
            self.read().await?;
        }
        self.acquire_lease().await
    }

    /// Reads the row. Ends the refresh if the row has what is wanted, or is not a row of this grant.
    async fn read(&self) -> Step<StoredGrant> {
        let stored = self.shared.store.load(self.entry.id).await.map_err(|error| store_failed(&error))?;
        let stored = stored.ok_or_else(|| ended("there is no such grant", Row::Removed))?;
        let tokens = stored.record.tokens();
        if stored.record.issuer() != self.shared.issuer() {
            let (expected, found) = (self.shared.issuer(), stored.record.issuer());
            tracing::error!(grant = %self.entry.id, %expected, %found, "grant belongs to another provider");
            return Err(ended("the grant belongs to another provider", Row::Removed));
        }
        if self.job.current.as_ref().is_some_and(|current| !current.is_of_same_login(tokens)) {
            // Callers of the earlier login must not see these tokens: they may be another user's.
            return Err(ended("another login replaced the grant", Row::Removed));
        }
        if self.is_sufficient(tokens) {
            if self.job.current.is_some() {
                self.shared.telemetry.adopted_from_peer.increment(1);
            }
            return Err(RefreshOutcome::Found(Arc::clone(tokens)));
        }
        Ok(stored)
    }

    fn is_sufficient(&self, tokens: &TokenSet) -> bool {
        let is_alive = tokens.expires_at().is_none_or(|end| self.shared.clock.now() < end);
        is_alive && self.job.is_satisfied_by(tokens)
    }

    /// Acquires the lease, or waits until its holder has saved what is wanted.
    async fn acquire_lease(&self) -> Step<LeaseGuard<'_>> {
        let deadline = Instant::now() + self.shared.config.lease_ttl() + self.shared.config.refresh_timeout;
        let mut pause = FIRST_PAUSE;
        loop {
            let lease = LeaseGuard::acquire(self.entry).await;
            if let Some(lease) = lease.map_err(|error| store_failed(&error))? {
                return Ok(lease);
            }
            // This process has not presented anything, so a shutdown need not wait for another process.
            if Instant::now() >= deadline || self.shared.draining.is_cancelled() {
                return Err(not_presented("another process holds the lease of the grant"));
            }
            tokio::select! {
                biased;
                () = sleep(pause.mul_f64(rand::random_range(0.75..1.25))) => {}
                () = self.shared.draining.cancelled() => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
            self.read().await?;
        }
    }

    /// Refreshes under the lease, and ends the lease.
    async fn refresh(&self, lease: LeaseGuard<'_>) -> RefreshOutcome {
        let (stored, tokens) = match self.prepare(lease).await {
            Ok(prepared) => prepared,
            Err(outcome) => {
                return_lease(lease, &outcome).await;
                return outcome;
            }
        };
        match self.present(&tokens, lease).await {
            Ok(response) => {
                let refreshed = Arc::new(tokens.refreshed(response, self.shared.clock.now()));
                save(self.entry, stored.version, refreshed, lease).await
            }
            Err(error) => {
                let outcome = self.failed(stored, &tokens, &error).await;
                return_lease(lease, &outcome).await;
                outcome
            }
        }
    }

    /// Returns the row and the tokens whose refresh token is to be presented.
    async fn prepare(&self, lease: LeaseGuard<'_>) -> Step<(StoredGrant, Arc<TokenSet>)> {
        let stored = self.read().await?;
        let tokens = self.newest(&stored)?;
        if tokens.refresh_token().is_none() {
            // Unless the provider rejected the access token, it has expired by the clock of this machine, which may be wrong for a while.
            if !self.job.reported_dead
                && let Err(left) = self.shared.confirmed_clock.now()
            {
                return Err(unconfirmed(left));
            }
            return Err(self.end_grant(stored, "there is no refresh token").await);
        }
        if lease.lease().after_abandoned {
            tracing::warn!(grant = %self.entry.id, "a previous refresh of this grant did not finish");
            if self.shared.config.defers_when_possibly_spent() && self.is_early(&tokens) {
                return Err(RefreshOutcome::Deferred);
            }
        }
        Ok((stored, tokens))
    }

    /// Returns the newest tokens: those in this process are newer than the row's if they could not be saved.
    fn newest(&self, stored: &StoredGrant) -> Step<Arc<TokenSet>> {
        let stored = stored.record.tokens();
        let unsaved = self.job.current.as_ref().filter(|current| current.generation() > stored.generation());
        let tokens = unsaved.unwrap_or(stored);
        if self.is_sufficient(tokens) { Err(RefreshOutcome::Found(Arc::clone(tokens))) } else { Ok(Arc::clone(tokens)) }
    }

    /// Reports whether the access token still works, so that there is no need to present a refresh token that may be spent.
    fn is_early(&self, tokens: &TokenSet) -> bool {
        !self.job.reported_dead && tokens.expires_at().is_some_and(|end| self.shared.clock.now() < end)
    }

    /// Presents the refresh token, once.
    async fn present(&self, tokens: &Arc<TokenSet>, lease: LeaseGuard<'_>) -> Result<TokenResponse, RefreshError> {
        let span = tracing::info_span!(
            "portcullis.exchange",
            grant = %self.entry.id,
            provider = self.shared.config.name,
            generation = tokens.generation().number(),
        );
        let started = Instant::now();
        let result = match self.ready_service(lease).await {
            Ok(service) => self.call(service, tokens).instrument(span).await,
            Err(error) => Err(error),
        };
        self.shared.telemetry.refreshed(result.as_ref().err().map(RefreshError::kind), started.elapsed());
        result
    }

    /// Waits until the service is ready and the lease lasts long enough. Until then nothing has been sent.
    async fn ready_service(&self, lease: LeaseGuard<'_>) -> Result<BoxedTokenRefresh, RefreshError> {
        let mut service = self.shared.token_refresh.clone();
        match timeout(self.shared.config.refresh_timeout, service.ready()).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(RefreshError::not_sent(AuthError::new(Reason::Overloaded))),
        }
        if !lease.has_time_left().await {
            let cause = AuthError::new(Reason::BackingOff).with_source("the lease of the grant was lost");
            return Err(RefreshError::not_sent(cause));
        }
        Ok(service)
    }

    async fn call(
        &self,
        mut service: BoxedTokenRefresh,
        tokens: &Arc<TokenSet>,
    ) -> Result<TokenResponse, RefreshError> {
        // The service is called inside the future, so that a panic in `call` is caught as well.
        let response = AssertUnwindSafe(async { service.call(Arc::clone(tokens)).await }).catch_unwind();
        match timeout(self.shared.config.refresh_timeout, response).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(RefreshError::ambiguous(AuthError::new(Reason::VerifierFailed).with_source("a panic"))),
            Err(_) => Err(RefreshError::ambiguous(AuthError::new(Reason::ProviderTimeout))),
        }
    }

    /// Decides what a failure means for the grant.
    async fn failed(&self, stored: StoredGrant, presented: &TokenSet, error: &RefreshError) -> RefreshOutcome {
        let (grant, outcome, cause) = (self.entry.id, error.kind().as_str(), error.cause());
        match error.kind() {
            RefreshErrorKind::Refused => {
                tracing::info!(%grant, ?cause, "refresh token rejected by the provider: the grant has ended");
                self.end_grant_unless_refreshed(stored, "the provider refused the refresh token").await
            }
            RefreshErrorKind::Unexplained => self.unexplained(stored, presented, error).await,
            RefreshErrorKind::Ambiguous => {
                tracing::warn!(%grant, outcome, ?cause, "no usable response to a refresh request: the refresh token may be spent");
                RefreshOutcome::Failed { error: cause.clone(), possibly_spent: true }
            }
            RefreshErrorKind::Transient | RefreshErrorKind::NotSent => {
                tracing::warn!(%grant, outcome, ?cause, "token refresh failed");
                RefreshOutcome::Failed { error: cause.clone(), possibly_spent: false }
            }
            RefreshErrorKind::Misconfigured => {
                tracing::error!(%grant, ?cause, "the provider refuses this server, not the grant");
                RefreshOutcome::Failed { error: cause.clone(), possibly_spent: false }
            }
        }
    }

    /// The provider refused the request, and the response does not say whether the refresh token or this server is at fault.
    async fn unexplained(&self, stored: StoredGrant, presented: &TokenSet, error: &RefreshError) -> RefreshOutcome {
        let (grant, cause) = (self.entry.id, error.cause());
        let now = self.shared.now();
        let verdict = self.entry.state().record_unexplained_refusal(now, presented.generation(), error.accepted_at());
        match verdict {
            Verdict::Dead { refusals } => {
                tracing::warn!(
                    %grant, refusals, ?cause,
                    "refresh token rejected repeatedly while the provider accepted this server's credentials: the grant has ended"
                );
                let why = "the provider refused the refresh token repeatedly";
                return self.end_grant_unless_refreshed(stored, why).await;
            }
            Verdict::Undecided { refusals, is_new: true } => tracing::error!(
                %grant, refusals, ?cause,
                "the provider refuses a refresh token and has not accepted this server's credentials since: correct the credentials, or name the provider's error in bridge.dead_grant_errors"
            ),
            Verdict::Undecided { is_new: false, .. } | Verdict::Insufficient => tracing::warn!(
                %grant, ?cause,
                "the provider refused a refresh, and does not say whether the refresh token or this server is at fault"
            ),
        }
        RefreshOutcome::Failed { error: cause.clone(), possibly_spent: false }
    }

    /// Ends the grant, unless another process has saved new tokens meanwhile, without the lease.
    async fn end_grant_unless_refreshed(&self, stored: StoredGrant, why: &'static str) -> RefreshOutcome {
        match self.read().await {
            Err(outcome @ RefreshOutcome::Found(_)) => outcome,
            _ => self.end_grant(stored, why).await,
        }
    }

    /// Removes the row. A row that was written again with the same tokens, as re-keying does, is removed as well.
    async fn end_grant(&self, mut stored: StoredGrant, why: &'static str) -> RefreshOutcome {
        let dead = stored.record.tokens().generation();
        loop {
            match self.shared.store.remove(self.entry.id, stored.version).await {
                Ok(true) => return ended(why, Row::Removed),
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(grant = %self.entry.id, %error, "row of an ended grant could not be removed");
                    return ended(why, Row::Remains);
                }
            }
            stored = match self.read().await {
                Ok(stored) => stored,
                Err(outcome) => return outcome,
            };
            if stored.record.tokens().generation() != dead {
                return not_presented("another process has changed the grant");
            }
        }
    }
}

/// Releases the lease; if the refresh token may be spent, lets it expire, so that the next holder knows.
async fn return_lease(lease: LeaseGuard<'_>, outcome: &RefreshOutcome) {
    let was_possibly_spent = lease.lease().after_abandoned;
    match outcome {
        RefreshOutcome::Deferred => lease.expire_now().await,
        RefreshOutcome::Failed { possibly_spent, .. } if *possibly_spent || was_possibly_spent => {
            lease.expire_now().await;
        }
        _ => lease.release().await,
    }
}

fn ended(why: &'static str, row: Row) -> RefreshOutcome {
    RefreshOutcome::Ended { error: AuthError::new(Reason::GrantEnded).with_source(why), row }
}

/// The refresh failed before the refresh token was presented.
fn not_presented(why: &'static str) -> RefreshOutcome {
    RefreshOutcome::Failed { error: AuthError::new(Reason::BackingOff).with_source(why), possibly_spent: false }
}

/// The access token has expired by a reading of the clock that is not confirmed, and there is no refresh token: a later reading decides.
fn unconfirmed(left: Duration) -> RefreshOutcome {
    let error = AuthError::new(Reason::BackingOff)
        .with_source("the clock of this machine was set, or the process has just started");
    RefreshOutcome::Failed { error: error.with_retry_after(left), possibly_spent: false }
}

fn store_failed(error: &StoreError) -> RefreshOutcome {
    tracing::error!(%error, source = ?std::error::Error::source(error), "the store of grants failed");
    RefreshOutcome::Failed { error: AuthError::new(Reason::StoreUnavailable), possibly_spent: false }
}
