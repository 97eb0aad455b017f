//! [`Hangar`]: the grants that somebody asks for, and what all flights share.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::FutureExt as _;
use portcullis_core::{AccessToken, AuthError, Clock, Generation, GrantId, Issuer, Reason};
use portcullis_egress::back_off_window;
use portcullis_oauth::TokenResponse;
use tokio::{runtime::Handle, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::util::BoxCloneSyncService;

use super::{
    Now,
    entry::{Cell, Waiting},
    refresh_task,
    state::{Answer, Errand, Landing, Tuning},
};
use crate::{GrantStore, RefreshError, TokenSet, refresher::RefresherConfig, telemetry::Telemetry};

/// A refresh token goes in, new tokens come out.
pub(crate) type BoxedTokenRefresh = BoxCloneSyncService<Arc<TokenSet>, TokenResponse, RefreshError>;

/// The grants that somebody asks for, and what all flights share.
pub(crate) struct Hangar {
    pub(super) vault: GrantStore,
    pub(super) exchange: BoxedTokenRefresh,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) config: RefresherConfig,
    pub(super) telemetry: Telemetry,
    pub(crate) tasks: TaskTracker,
    /// Cancelled when the process is about to end.
    pub(crate) draining: CancellationToken,
    runtime: Handle,
    cells: Mutex<Cells>,
}

#[derive(Default)]
struct Cells {
    by_id: HashMap<GrantId, Arc<Cell>>,
    sweep_at: usize,
}

/// Fewer than this many are never worth sweeping.
const FEW: usize = 1024;

impl Hangar {
    pub(crate) fn new(
        vault: GrantStore,
        exchange: BoxedTokenRefresh,
        clock: Arc<dyn Clock>,
        config: RefresherConfig,
    ) -> Self {
        Self {
            telemetry: Telemetry::new(config.name),
            vault,
            exchange,
            clock,
            config,
            tasks: TaskTracker::new(),
            draining: CancellationToken::new(),
            runtime: Handle::current(),
            cells: Mutex::default(),
        }
    }

    pub(crate) const fn vault(&self) -> &GrantStore {
        &self.vault
    }

    pub(crate) const fn issuer(&self) -> &Issuer {
        &self.config.issuer
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(self.tasks.spawn_on(task, &self.runtime));
    }

    /// How many grants could never be saved.
    pub(crate) fn lost(&self) -> usize {
        self.telemetry.lost_count()
    }

    pub(crate) fn now(&self) -> Now {
        Now { monotonic: Instant::now(), calendar: self.clock.now() }
    }

    /// The cell of this grant. One that has ended is used by those who hold it; whoever comes anew looks into the store.
    pub(crate) fn cell(&self, id: GrantId) -> Arc<Cell> {
        let mut cells = self.cells();
        if let Some(cell) = cells.by_id.get(&id).filter(|cell| !cell.slot().is_gone()) {
            return Arc::clone(cell);
        }
        cells.sweep(self.now());
        let cell = Arc::new(Cell::new(id));
        cells.by_id.insert(id, Arc::clone(&cell));
        cell
    }

    /// A grant has begun, with these tokens. What there was of this id belongs to a login before it, and has ended.
    pub(crate) fn begin(&self, id: GrantId, tokens: &Arc<TokenSet>) {
        let cell = Arc::new(Cell::new(id));
        cell.slot().settle(self.now(), tokens, self.tuning());
        let mut cells = self.cells();
        cells.sweep(self.now());
        let before = cells.by_id.insert(id, cell);
        drop(cells);
        if let Some(before) = before {
            self.end(&before, AuthError::new(Reason::GrantEnded).with_source("the grant has begun anew"), false);
        }
    }

    /// Asks for a token; `refused` is the generation of one that the provider did not take.
    pub(crate) fn ask(self: &Arc<Self>, cell: &Arc<Cell>, refused: Option<Generation>) -> Answer<Waiting> {
        let answer = self.ask_again(cell, refused);
        if let Answer::Tokens(tokens) = &answer
            && refused.is_some_and(|refused| refused < tokens.generation())
        {
            self.telemetry.stale_refusals.increment(1);
        }
        answer
    }

    /// As [`ask`](Self::ask), after a flight that was waited for has landed.
    pub(crate) fn ask_again(self: &Arc<Self>, cell: &Arc<Cell>, refused: Option<Generation>) -> Answer<Waiting> {
        let answer = cell.slot().ask(self.now(), refused, self.tuning(), |errand| self.take_off(cell, errand));
        if let Answer::Wait { joined: true, .. } = &answer {
            self.telemetry.coalesced.increment(1);
        }
        answer
    }

    /// The access token, if it is fresh and nobody has to be asked. The path that most calls take: it allocates nothing.
    pub(crate) fn peek(&self, cell: &Cell, refused: Option<Generation>) -> Option<AccessToken> {
        let token = cell.slot().peek(self.now(), refused)?.access_token().clone();
        if refused.is_some() {
            self.telemetry.stale_refusals.increment(1);
        }
        Some(token)
    }

    /// Whether there is a token that works, so that nobody has to wait.
    pub(crate) fn works(&self, cell: &Cell, refused: Option<Generation>) -> bool {
        cell.slot().works(self.now(), refused)
    }

    /// The grant is at its end: whoever holds something of it is told. The tokens that it had in this process.
    pub(crate) fn end(&self, cell: &Cell, error: AuthError, outlived: bool) -> Option<Arc<TokenSet>> {
        let tokens = cell.slot().end(error, outlived);
        cell.end.revoke();
        tokens
    }

    /// The tokens are these from now on, unless there are newer ones.
    pub(super) fn settle(&self, cell: &Cell, tokens: &Arc<TokenSet>) {
        cell.slot().settle(self.now(), tokens, self.tuning());
    }

    /// Starts a flight on a task of its own. It is called with the slot locked, so nothing of it runs here.
    fn take_off(self: &Arc<Self>, cell: &Arc<Cell>, errand: Errand) -> Waiting {
        let (hangar, cell) = (Arc::clone(self), Arc::clone(cell));
        let task = self.tasks.spawn_on(
            async move {
                // Made on the task: one that is never polled, because the runtime stops, is dropped while the slot is locked.
                let approach =
                    Approach { hangar: Arc::clone(&hangar), cell: Arc::clone(&cell), errand: Some(errand.clone()) };
                let landing = refresh_task::travel(&hangar, &cell, &errand).await;
                approach.land(landing)
            },
            &self.runtime,
        );
        let outcome = task.map(|joined| joined.unwrap_or_else(|_| Err(AuthError::new(Reason::VerifierFailed))));
        outcome.boxed().shared()
    }

    fn land(&self, cell: &Cell, errand: &Errand, landing: Landing) -> Result<Arc<TokenSet>, AuthError> {
        let is_end = matches!(landing, Landing::Ended { .. });
        let outcome = cell.slot().land(self.now(), errand, landing, self.tuning());
        if is_end {
            cell.end.revoke();
        }
        outcome
    }

    fn tuning(&self) -> Tuning {
        Tuning {
            margin: self.config.early,
            spare_suspects: self.config.spares_suspects(),
            jitter: rand::random,
            window: back_off_window,
        }
    }

    fn cells(&self) -> MutexGuard<'_, Cells> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cells {
    /// Forgets the grants that nobody holds and that the store knows all about; rarely enough to cost nothing on average.
    fn sweep(&mut self, now: Now) {
        if self.by_id.len() >= self.sweep_at {
            self.by_id.retain(|_, cell| Arc::strong_count(cell) > 1 || cell.slot().is_busy(now));
            self.sweep_at = FEW.max(self.by_id.len() * 2);
        }
    }
}

/// A flight that will land, whatever happens to it: if its task ends in any other way, it has failed.
struct Approach {
    hangar: Arc<Hangar>,
    cell: Arc<Cell>,
    errand: Option<Errand>,
}

impl Approach {
    fn land(mut self, landing: Landing) -> Result<Arc<TokenSet>, AuthError> {
        let errand = self.errand.take().expect("a flight lands once");
        self.hangar.land(&self.cell, &errand, landing)
    }
}

impl Drop for Approach {
    fn drop(&mut self) {
        if let Some(errand) = self.errand.take() {
            tracing::error!(grant = %self.cell.id, "a refresh broke off");
            let landing = Landing::Failed { error: AuthError::new(Reason::VerifierFailed), ambiguous: true };
            drop(self.hangar.land(&self.cell, &errand, landing));
        }
    }
}

/// Nobody asks any more, and no flight is under way: what waits for its time need not.
impl Drop for Hangar {
    fn drop(&mut self) {
        self.draining.cancel();
    }
}

impl fmt::Debug for Hangar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hangar").field("issuer", &self.config.issuer).finish_non_exhaustive()
    }
}
