//! [`RefreshTask`]: one refresh, on a task of its own.

use std::{sync::Arc, time::Duration};

use portcullis_core::{AuthError, Generation, Reason, ScopeSet};
use tokio::time::Instant;

use super::{
    commit::{Base, LeaseGuard, save},
    exchange::exchange,
    pool::{GrantEntry, RefreshResult, Shared, SharedRefresh},
    refusal_evidence::Verdict,
    runtime::sleep,
    state::{Decision, RefreshJob, RefreshOutcome, Row},
};
use crate::{Acquisition, GrantRecord, RefreshError, RefreshErrorKind, StoreError, StoredGrant, Swap, TokenSet};

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
    let decision =
        entry.change(|state| state.ask(shared.now(), reported, shared.policy(), |job| spawn_refresh(entry, job)));
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
/// 4. [`exchange`]: present the refresh token, once. Without one, or if it is refused, [`acquire`](Self::acquire) tokens
///    in another way, if there is one.
/// 5. [`save`] the new tokens; the lease ends with the write. Or decide what the [failure](Self::failed) means.
struct RefreshTask<'a> {
    entry: &'a Arc<GrantEntry>,
    shared: &'a Shared,
    job: &'a RefreshJob,
}

/// `Err` is an early result: nothing more is to be done.
type Step<T> = Result<T, RefreshOutcome>;

/// What a refresh begins with.
struct Prepared {
    /// `None`: there is no row. Only a grant whose tokens can be acquired goes on then.
    row: Option<StoredGrant>,
    /// The newest tokens.
    tokens: Option<Arc<TokenSet>>,
}

impl Prepared {
    /// Returns the row, and the tokens whose refresh token is to be presented. The refresh token of a row that was removed is not.
    fn presentable(&self) -> Option<(&StoredGrant, &Arc<TokenSet>)> {
        self.row.as_ref().zip(self.tokens.as_ref().filter(|tokens| tokens.refresh_token().is_some()))
    }

    fn base(&self) -> Base {
        self.row.as_ref().map_or(Base::Absent, |stored| Base::Row(stored.version))
    }
}

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

    /// Reads the row. Ends the refresh if the row has what is wanted, or is not a row of this grant. Returns `None` if there is no row, and
    /// tokens can be acquired.
    async fn read(&self) -> Step<Option<StoredGrant>> {
        let stored = self.shared.store.load(self.entry.id).await.map_err(|error| store_failed(&error))?;
        // The row is that of an earlier login, if there is one, and the save that is retried gives the tokens another generation.
        if self.entry.has_unsaved_login() {
            return Err(not_presented("the tokens of the login are not saved yet"));
        }
        let Some(mut stored) = stored else {
            return if self.can_acquire() { Ok(None) } else { Err(ended("there is no such grant", Row::Removed)) };
        };
        if stored.record.issuer() != self.shared.issuer() {
            let (expected, found) = (self.shared.issuer(), stored.record.issuer());
            tracing::error!(grant = %self.entry.id, %expected, %found, "grant belongs to another provider");
            return Err(ended("the grant belongs to another provider", Row::Removed));
        }
        let tokens = match &self.job.current {
            Some(current) => self.shared.same_grant(stored.record.tokens(), current),
            None => Some(stored.record.tokens().numbered(None, self.job.floor)),
        };
        // Callers of the earlier login must not see the tokens of another one: they may be another user's.
        let tokens = tokens.ok_or_else(|| ended("another login replaced the grant", Row::Removed))?;
        if self.is_sufficient(&tokens) {
            if self.job.current.is_some() {
                self.shared.telemetry.adopted_from_peer.increment(1);
            }
            return Err(RefreshOutcome::Found(tokens));
        }
        stored.record = GrantRecord::new(stored.record.issuer().clone(), tokens);
        Ok(Some(stored))
    }

    const fn can_acquire(&self) -> bool {
        self.shared.acquisition.is_some()
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
        let prepared = match self.prepare(lease).await {
            Ok(prepared) => prepared,
            Err(outcome) => {
                return_lease(lease, &outcome).await;
                return outcome;
            }
        };
        let Some((stored, tokens)) = prepared.presentable() else { return self.acquire(&prepared, lease).await };
        let generation = tokens.generation();
        match exchange(&self.shared.token_refresh, Arc::clone(tokens), generation, lease).await {
            Ok(response) => {
                let refreshed = Arc::new(tokens.refreshed(response, self.shared.clock.now()));
                save(self.entry, prepared.base(), refreshed, lease).await
            }
            Err(error) => {
                let outcome = match self.failed(tokens, &error) {
                    Failure::Failed(outcome) => outcome,
                    Failure::Dead(why) => match self.read().await {
                        // Another process has saved new tokens meanwhile, without the lease.
                        Err(outcome @ RefreshOutcome::Found(_)) => outcome,
                        _ if self.can_acquire() => return self.acquire(&prepared, lease).await,
                        _ => self.end_grant(stored.clone(), why).await,
                    },
                };
                return_lease(lease, &outcome).await;
                outcome
            }
        }
    }

    /// Obtains tokens without a refresh token, and ends the lease. A refresh token that there is has been refused.
    async fn acquire(&self, prepared: &Prepared, lease: LeaseGuard<'_>) -> RefreshOutcome {
        let Some(acquisition) = &self.shared.acquisition else {
            lease.release().await;
            return ended("there is no refresh token", Row::Remains);
        };
        let request = Acquisition { grant: self.entry.id, current: prepared.tokens.clone() };
        let before = prepared.tokens.as_ref().map_or(self.job.floor, |tokens| tokens.generation());
        match exchange(acquisition, request, before, lease).await {
            Ok(response) => {
                let now = self.shared.clock.now();
                let acquired = match &prepared.tokens {
                    Some(tokens) => tokens.reacquired(response, now),
                    None => {
                        let tokens = TokenSet::from_login(response, &ScopeSet::default(), now);
                        tokens.following(None, self.job.floor)
                    }
                };
                save(self.entry, prepared.base(), Arc::new(acquired), lease).await
            }
            Err(error) => {
                let (grant, outcome, cause) = (self.entry.id, error.kind().as_str(), error.cause());
                tracing::warn!(%grant, outcome, ?cause, "no tokens could be obtained");
                // A grant whose credential can be presented again says that such a failure is transient.
                let possibly_spent = error.kind() == RefreshErrorKind::Ambiguous;
                let error = cause.clone();
                if let Some((stored, tokens)) = prepared.presentable() {
                    let stripped = Arc::new(tokens.without_refresh_token());
                    self.strip_row(stored, &stripped, lease).await;
                    return RefreshOutcome::NotAcquired { stripped, error, possibly_spent };
                }
                let outcome = RefreshOutcome::Failed { error, possibly_spent };
                return_lease(lease, &outcome).await;
                outcome
            }
        }
    }

    /// Removes a refresh token that was refused from the row, so that no process presents it again. Ends the lease.
    async fn strip_row(&self, stored: &StoredGrant, stripped: &Arc<TokenSet>, lease: LeaseGuard<'_>) {
        let record = GrantRecord::new(self.shared.issuer().clone(), Arc::clone(stripped));
        match self.shared.store.swap(self.entry.id, Some(stored.version), &record, Some(lease.lease())).await {
            Ok(Swap::Written(_)) => {}
            Ok(Swap::Conflict | Swap::Fenced) => lease.release().await,
            Err(error) => {
                tracing::warn!(grant = %self.entry.id, %error, "refused refresh token could not be removed from the store");
                lease.release().await;
            }
        }
    }

    /// Returns what the refresh begins with, now that no other process writes the row.
    async fn prepare(&self, lease: LeaseGuard<'_>) -> Step<Prepared> {
        let Some(stored) = self.read().await? else {
            return Ok(Prepared { row: None, tokens: self.job.current.clone() });
        };
        let tokens = self.newest(&stored)?;
        if tokens.refresh_token().is_none() && !self.can_acquire() {
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
        Ok(Prepared { row: Some(stored), tokens: Some(tokens) })
    }

    /// Returns the newest tokens: those in this process are newer than the row's if they could not be saved, or if their refresh token was
    /// refused and could not be removed from the row.
    fn newest(&self, stored: &StoredGrant) -> Step<Arc<TokenSet>> {
        let stored = stored.record.tokens();
        let unsaved = self.job.current.as_ref().filter(|current| {
            let is_stripped = current.generation() == stored.generation() && current.refresh_token().is_none();
            current.generation() > stored.generation() || is_stripped
        });
        let tokens = unsaved.unwrap_or(stored);
        if self.is_sufficient(tokens) { Err(RefreshOutcome::Found(Arc::clone(tokens))) } else { Ok(Arc::clone(tokens)) }
    }

    /// Reports whether the access token still works, so that there is no need to present a refresh token that may be spent.
    fn is_early(&self, tokens: &TokenSet) -> bool {
        !self.job.reported_dead && tokens.expires_at().is_some_and(|end| self.shared.clock.now() < end)
    }

    /// Decides what a failure means for the grant.
    fn failed(&self, presented: &TokenSet, error: &RefreshError) -> Failure {
        let (grant, outcome, cause) = (self.entry.id, error.kind().as_str(), error.cause());
        match error.kind() {
            RefreshErrorKind::Refused => {
                tracing::info!(%grant, ?cause, "refresh token rejected by the provider: the grant has ended");
                Failure::Dead("the provider refused the refresh token")
            }
            RefreshErrorKind::Unexplained => self.unexplained(presented, error),
            RefreshErrorKind::Ambiguous => {
                tracing::warn!(%grant, outcome, ?cause, "no usable response to a refresh request: the refresh token may be spent");
                Failure::Failed(RefreshOutcome::Failed { error: cause.clone(), possibly_spent: true })
            }
            RefreshErrorKind::Transient | RefreshErrorKind::NotSent => {
                tracing::warn!(%grant, outcome, ?cause, "token refresh failed");
                Failure::Failed(RefreshOutcome::Failed { error: cause.clone(), possibly_spent: false })
            }
            RefreshErrorKind::Misconfigured => {
                tracing::error!(%grant, ?cause, "the provider refuses this server, not the grant");
                Failure::Failed(RefreshOutcome::Failed { error: cause.clone(), possibly_spent: false })
            }
        }
    }

    /// The provider refused the request, and the response does not say whether the refresh token or this server is at fault.
    fn unexplained(&self, presented: &TokenSet, error: &RefreshError) -> Failure {
        let (grant, cause) = (self.entry.id, error.cause());
        let now = self.shared.now();
        let verdict = self.entry.state().record_unexplained_refusal(now, presented.generation(), error.accepted_at());
        match verdict {
            Verdict::Dead { refusals } => {
                tracing::warn!(
                    %grant, refusals, ?cause,
                    "refresh token rejected repeatedly while the provider accepted this server's credentials: the grant has ended"
                );
                return Failure::Dead("the provider refused the refresh token repeatedly");
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
        Failure::Failed(RefreshOutcome::Failed { error: cause.clone(), possibly_spent: false })
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
                Ok(Some(stored)) => stored,
                Ok(None) => return ended(why, Row::Removed),
                Err(outcome) => return outcome,
            };
            if stored.record.tokens().generation() != dead {
                return not_presented("another process has changed the grant");
            }
        }
    }
}

/// What the failure of a refresh means.
enum Failure {
    /// The refresh token is dead.
    Dead(&'static str),
    Failed(RefreshOutcome),
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
