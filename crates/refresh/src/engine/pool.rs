//! [`RefreshPool`]: the grants that are in use in this process, the [entry](GrantEntry) of each, and what their refreshes
//! [share](Shared).

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use portcullis_core::{AccessToken, AuthError, Clock, Generation, GrantId, Issuer, Reason, Revocation};
use portcullis_egress::back_off_window;
use portcullis_oauth::TokenResponse;
use portcullis_store::ConfirmedClock;
use tokio::{sync::watch, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::util::BoxCloneSyncService;

use super::{
    runtime::{Handle, Mutex, MutexGuard, SharedTask},
    state::{GrantState, RefreshJob, RefreshOutcome, RefreshPolicy, Row, RunningRefresh, StateView},
};
use crate::{
    Acquisition, GrantStore, Lease, RefreshError, RefresherConfig, TokenSet, telemetry::Telemetry, token_set::Now,
};

/// Up to this number of entries a sweep is not worth its time.
const MIN_SWEEP_SIZE: usize = 1024;

/// The entries of the grants that are in use.
pub(crate) struct RefreshPool {
    shared: Arc<Shared>,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    by_id: HashMap<GrantId, Arc<GrantEntry>>,
    /// The number of entries at which the next sweep is due.
    sweep_at: usize,
}

impl RefreshPool {
    pub(crate) fn new(shared: Shared) -> Self {
        Self { shared: Arc::new(shared), entries: Mutex::new(Entries::default()) }
    }

    pub(crate) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Returns the entry of the grant `id`, and creates it if there is none.
    ///
    /// An entry of a grant that has ended is replaced: callers that still hold it get its error, later callers get what the store
    /// says. That of a client stays, because its next login continues it.
    pub(crate) fn entry(&self, id: GrantId) -> Arc<GrantEntry> {
        let mut entries = self.entries();
        let is_client = self.shared.config.is_client();
        if let Some(entry) = entries.by_id.get(&id).filter(|entry| is_client || !entry.state().is_removed()) {
            return Arc::clone(entry);
        }
        entries.sweep(self.shared.now());
        let entry = Arc::new(GrantEntry::new(id, Arc::clone(&self.shared)));
        entries.by_id.insert(id, Arc::clone(&entry));
        entry
    }

    /// Adds a new grant with its first `tokens`. An entry of the same id belongs to an earlier login, and ends.
    pub(crate) fn create(&self, id: GrantId, tokens: &Arc<TokenSet>) {
        let entry = Arc::new(GrantEntry::new(id, Arc::clone(&self.shared)));
        entry.install(tokens);
        let mut entries = self.entries();
        entries.sweep(self.shared.now());
        let earlier = entries.by_id.insert(id, entry);
        drop(entries);
        if let Some(earlier) = earlier {
            let error = AuthError::new(Reason::GrantEnded).with_source("another login replaced the grant");
            drop(earlier.end(error, Row::Removed));
        }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    /// Removes the entries that no caller holds and whose state the store has as well. The size doubles between two sweeps, so
    /// their cost per entry is constant on average.
    fn sweep(&mut self, now: Now) {
        if self.by_id.len() >= self.sweep_at {
            self.by_id.retain(|_, entry| Arc::strong_count(entry) > 1 || entry.state().must_be_kept(now));
            self.sweep_at = MIN_SWEEP_SIZE.max(self.by_id.len() * 2);
        }
    }
}

impl fmt::Debug for RefreshPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshPool").field("issuer", self.shared.issuer()).finish_non_exhaustive()
    }
}

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
    /// How many logins could not be saved yet.
    pub(super) unsaved_logins: AtomicU32,
    /// How often the user logged out. A login that was begun before has no effect after it.
    logouts: AtomicU32,
}

impl GrantEntry {
    pub(super) fn new(id: GrantId, shared: Arc<Shared>) -> Self {
        Self {
            id,
            shared,
            revocation: Arc::default(),
            state: Mutex::new(GrantState::new()),
            unsaved_lease: Mutex::new(None),
            unsaved_logins: AtomicU32::new(0),
            logouts: AtomicU32::new(0),
        }
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

    /// Changes the state. If the grant is a client's, what can be seen of the change is told to those who watch.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut GrantState<SharedRefresh>) -> T) -> T {
        let Some(watched) = &self.shared.watched else { return change(&mut self.state()) };
        let mut state = self.state();
        let (mark, backed_off) = (state.mark(), state.is_backing_off());
        let result = change(&mut state);
        self.shared.telemetry.backing_off(backed_off, state.is_backing_off());
        let has_changed = mark != state.mark();
        drop(state);
        if has_changed {
            watched.send_replace(());
        }
        result
    }

    /// Makes `tokens` the current ones, unless there are newer ones.
    pub(super) fn install(&self, tokens: &Arc<TokenSet>) {
        self.change(|state| state.install(self.shared.now(), tokens, self.shared.policy()));
    }

    /// Gives the current tokens, which were of the generation `before`, the generation with which they were `saved`.
    pub(super) fn renumber(&self, before: Generation, saved: &Arc<TokenSet>) {
        self.change(|state| state.renumber(self.shared.now(), before, saved, self.shared.policy()));
    }

    /// Makes the `tokens` of a login the current ones.
    pub(super) fn replace(&self, tokens: &Arc<TokenSet>, ends: u32) {
        self.change(|state| state.replace(self.shared.now(), tokens, ends, self.shared.policy()));
    }

    /// Records that the provider rejected the access token of `generation`. Reports whether it is the current one.
    pub(crate) fn report(&self, generation: Generation) -> bool {
        self.change(|state| state.report(self.shared.now(), generation))
    }

    /// Returns what is known about the grant in this process.
    pub(crate) fn view(&self) -> StateView {
        self.state().view(self.shared.now())
    }

    /// Reports whether the newest tokens could not be saved yet.
    pub(crate) fn is_unsaved(&self) -> bool {
        self.unsaved_lease().is_some() || self.has_unsaved_login()
    }

    /// Reports whether the tokens of a login could not be saved yet.
    pub(super) fn has_unsaved_login(&self) -> bool {
        self.unsaved_logins.load(Ordering::Relaxed) > 0
    }

    /// Returns the current tokens, whether they work or not, and the generation that later tokens have at least.
    pub(super) fn newest(&self) -> (Option<Arc<TokenSet>>, Generation) {
        let state = self.state();
        (state.view(self.shared.now()).tokens, state.floor())
    }

    pub(super) fn has_ended(&self) -> bool {
        self.view().ended.is_some()
    }

    /// Records the result of a refresh, and returns the result for the callers that wait for it.
    pub(super) fn complete(&self, job: &RefreshJob, outcome: RefreshOutcome) -> RefreshResult {
        let has_ended = matches!(outcome, RefreshOutcome::Ended { .. });
        let result = self.change(|state| state.complete(self.shared.now(), job, outcome, self.shared.policy()));
        if has_ended {
            self.revocation.revoke();
        }
        result
    }

    /// Returns how often the user logged out.
    pub(crate) fn logouts(&self) -> u32 {
        self.logouts.load(Ordering::SeqCst)
    }

    /// Ends the grant because the user logs out; its row is removed later. Returns the tokens that it had in this process.
    pub(crate) fn log_out(&self) -> Option<Arc<TokenSet>> {
        // First the number: a login that finds it unchanged after its save is ended by what follows.
        self.logouts.fetch_add(1, Ordering::SeqCst);
        self.end(logged_out(), Row::Remains)
    }

    /// Ends the grant in this process and revokes what was derived from it. Returns the tokens that it had in this process.
    pub(crate) fn end(&self, error: AuthError, row: Row) -> Option<Arc<TokenSet>> {
        let tokens = self.change(|state| state.end(error, row));
        self.revocation.revoke();
        tokens
    }
}

/// The error of a grant that the user has ended.
pub(crate) fn logged_out() -> AuthError {
    AuthError::new(Reason::GrantEnded).with_source("the user logged out")
}

impl Drop for GrantEntry {
    fn drop(&mut self) {
        if self.shared.watched.is_some() {
            let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
            self.shared.telemetry.backing_off(state.is_backing_off(), false);
        }
    }
}

impl fmt::Debug for GrantEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrantEntry").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The service that presents a refresh token, with its type erased.
pub(crate) type BoxedTokenRefresh = BoxCloneSyncService<Arc<TokenSet>, TokenResponse, RefreshError>;

/// The service that obtains tokens without a refresh token, with its type erased.
pub(crate) type BoxedAcquisition = BoxCloneSyncService<Acquisition, TokenResponse, RefreshError>;

/// What the callers that wait for a refresh get.
pub(crate) type RefreshResult = Result<Arc<TokenSet>, AuthError>;

/// What all refreshes of one [`Refresher`](crate::Refresher) have in common.
pub(crate) struct Shared {
    pub(crate) store: GrantStore,
    pub(crate) token_refresh: BoxedTokenRefresh,
    pub(crate) acquisition: Option<BoxedAcquisition>,
    pub(crate) clock: Arc<dyn Clock>,
    /// For what cannot be undone.
    pub(crate) confirmed_clock: Arc<ConfirmedClock>,
    pub(crate) config: RefresherConfig,
    pub(crate) telemetry: Telemetry,
    /// The background tasks that a shutdown waits for.
    pub(crate) tasks: TaskTracker,
    /// Cancelled when the process shuts down, or when the last user of this value is gone.
    pub(crate) draining: CancellationToken,
    /// Told of changes of the grants of a client. `None` for a server.
    pub(crate) watched: Option<watch::Sender<()>>,
    pub(super) runtime: Handle,
}

impl Shared {
    /// Creates the shared parts; tasks are spawned on the current runtime.
    ///
    /// # Panics
    /// Panics outside of a tokio runtime.
    pub(crate) fn new(
        store: GrantStore,
        token_refresh: BoxedTokenRefresh,
        acquisition: Option<BoxedAcquisition>,
        config: RefresherConfig,
    ) -> Self {
        Self {
            telemetry: Telemetry::new(config.role, config.name),
            store,
            token_refresh,
            acquisition,
            watched: config.is_client().then(|| watch::Sender::new(())),
            clock: Arc::clone(&config.clock),
            confirmed_clock: Arc::new(ConfirmedClock::new(Arc::clone(&config.clock))),
            config,
            tasks: TaskTracker::new(),
            draining: CancellationToken::new(),
            runtime: Handle::current(),
        }
    }

    /// Returns `stored` tokens with the generation that they have beside the `current` ones, or `None` if they are of another login
    /// whose tokens must not be seen by the callers of this one: they may be another user's.
    pub(super) fn same_grant(&self, stored: &Arc<TokenSet>, current: &TokenSet) -> Option<Arc<TokenSet>> {
        if self.config.is_client() {
            return Some(stored.numbered(Some(current), current.generation().next()));
        }
        current.is_of_same_login(stored).then(|| Arc::clone(stored))
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
            follows_logins: self.config.is_client(),
            can_acquire: self.acquisition.is_some(),
        }
    }

    /// Runs `work` on a task of its own. A shutdown waits for it; dropping the returned task does not cancel it.
    pub(super) fn spawn_refresh(
        &self,
        work: impl Future<Output = RefreshResult> + Send + 'static,
    ) -> SharedTask<RefreshResult> {
        let failed = |_| Err(AuthError::new(Reason::VerifierFailed));
        SharedTask::new(self.runtime.spawn(self.tasks.track_future(work)), failed)
    }

    /// Runs `work` in the background. A shutdown waits for it.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        drop(self.runtime.spawn(self.tasks.track_future(work)));
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
