//! [`Refresher`]: a tower service from a grant to fresh tokens; [`RefreshRequest`] and [`RefreshFuture`]: one request for them; and
//! the same tokens as the source of an [`Upstream`].

use std::{
    error::Error,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use portcullis_core::{
    AuthError, Generation, GrantId, Reason, Revocation, UnixTime, Upstream, UpstreamFuture, UpstreamSource,
};
use portcullis_oauth::TokenResponse;
use portcullis_store::ConfirmedClock;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tower::{ServiceExt as _, util::BoxCloneSyncService};
use tower_service::Service;

use crate::{
    Acquisition, CreateError, GrantRecord, GrantStore, RefreshError, RefresherConfig, StoreError, StoredGrant,
    TokenRefresh, TokenSet,
    engine::{
        BoxedAcquisition, BoxedTokenRefresh, Decision, GrantEntry, RefreshPool, Row, Shared, SharedRefresh, ask,
        ask_again, logged_out,
    },
};

/// How often expired grants are removed from the store.
const SWEEP_INTERVAL: Duration = Duration::from_mins(10);

/// A tower service from a grant to fresh tokens, for the grants of one provider. Clones share everything.
///
/// 1. **One refresh.** At most one refresh per grant is in progress, whatever the number of callers, tasks and clones; with a store
///    that several processes share, in all of them. Grants never wait for each other.
/// 2. **No wait on a good token.** While the access token works it is returned at once. Shortly before it expires one refresh starts
///    in the background; its failure is not reported while the access token works.
/// 3. **Detached.** A refresh runs on a task of its own: a caller that goes away neither cancels nor repeats it. The new tokens are
///    durable before a caller sees them. If they cannot be saved they are used and the save is retried; the refresh is not.
/// 4. **Generations.** A rejected token causes a refresh only if it is still the current one, and not if it has just replaced
///    another rejected one: see [`Upstream::rejected`](portcullis_core::Upstream::rejected).
/// 5. **Failure memory.** A refresh token that the provider refused is never presented again: the grant has ended, and the user
///    contexts made from it are revoked at once. After another failure the provider is not called for a time that grows from 1 s to
///    30 s, or for the time that it asks for.
/// 6. **Possibly spent refresh tokens.** A refresh token that was sent and not answered is not presented again while the access
///    token works, if the provider ends grants whose refresh token is presented twice. After that it is presented once per
///    cool-down, because there is no other way to get a token.
///
/// It is always ready. It must be created within a tokio runtime, which runs the refreshes.
///
/// # Layers around it
///
/// Time limits, concurrency limits, load shedding and retries are safe around the *refresher*: they change how long callers wait,
/// and neither cancel nor repeat a refresh. A retry around the *[token refresh service](TokenRefresh)* is **not** safe.
/// [`upstream_through`](Self::upstream_through) hands out tokens through such a stack.
#[derive(Clone, Debug)]
pub struct Refresher {
    pool: Arc<RefreshPool>,
}

impl Refresher {
    /// Creates a refresher of the grants in `store` that belong to the issuer in `config`. `token_refresh` presents the refresh
    /// tokens.
    ///
    /// # Panics
    /// Panics outside of a tokio runtime.
    #[must_use]
    pub fn new<E>(store: GrantStore, token_refresh: E, config: RefresherConfig) -> Self
    where
        E: TokenRefresh<Future: Send> + Clone + Send + Sync + 'static,
    {
        Self::build(store, BoxCloneSyncService::new(token_refresh), None, config)
    }

    /// Creates a refresher of grants whose tokens can be had without a refresh token as well: `acquisition` is called if there are no tokens,
    /// if there is no refresh token, and if the refresh token is refused. The grant does not end then.
    ///
    /// It is called as a refresh is: once at a time, on a task of its own, under the same lease; its outcome is saved before it is used,
    /// and its failures are remembered.
    ///
    /// # Panics
    /// Panics outside of a tokio runtime.
    #[must_use]
    pub fn with_acquisition<E, A>(store: GrantStore, token_refresh: E, acquisition: A, config: RefresherConfig) -> Self
    where
        E: TokenRefresh<Future: Send> + Clone + Send + Sync + 'static,
        A: Service<Acquisition, Response = TokenResponse, Error = RefreshError, Future: Send>
            + Clone
            + Send
            + Sync
            + 'static,
    {
        let acquisition = BoxCloneSyncService::new(acquisition);
        Self::build(store, BoxCloneSyncService::new(token_refresh), Some(acquisition), config)
    }

    fn build(
        store: GrantStore,
        token_refresh: BoxedTokenRefresh,
        acquisition: Option<BoxedAcquisition>,
        config: RefresherConfig,
    ) -> Self {
        let shared = Shared::new(store.clone(), token_refresh, acquisition, config);
        shared.spawn(sweep(store, Arc::clone(&shared.confirmed_clock), shared.draining.clone()));
        Self { pool: Arc::new(RefreshPool::new(shared)) }
    }

    /// Saves the tokens of a new grant, durably. From then on they are refreshed.
    ///
    /// `id` is a new random one for each login: whatever is remembered about a grant belongs to one login of one user.
    ///
    /// # Errors
    /// [`CreateError`] if there is a grant with this id, or if the tokens cannot be saved.
    pub async fn create(&self, id: GrantId, tokens: TokenSet) -> Result<(), CreateError> {
        let record = GrantRecord::new(self.pool.shared().issuer().clone(), Arc::new(tokens));
        self.store().create(id, &record).await?;
        self.pool.create(id, record.tokens());
        Ok(())
    }

    /// Reports whether the store has the grant, and it belongs to this provider.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub async fn exists(&self, id: GrantId) -> Result<bool, StoreError> {
        Ok(self.renewed_at(id).await?.is_some())
    }

    /// Returns when the provider last issued tokens of the grant, at the login or for a refresh token. Returns `None` if the store
    /// does not have the grant, or it belongs to another provider.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub async fn renewed_at(&self, id: GrantId) -> Result<Option<UnixTime>, StoreError> {
        let stored = self.store().load(id).await?;
        Ok(stored.and_then(|stored| self.own(&stored)).map(|tokens| tokens.received_at()))
    }

    /// Ends a grant in this process: the user contexts made from it are revoked at once, and no caller gets its tokens any more.
    /// The row stays in the store until the grant is [deleted](Self::delete), for a caller that revokes the tokens at the provider
    /// first and may be interrupted.
    ///
    /// Returns the newest tokens. They are **not** those of a refresh that is still in progress, nor those of another provider.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read. The grant has ended in this process nevertheless.
    pub async fn deactivate(&self, id: GrantId) -> Result<Option<Arc<TokenSet>>, StoreError> {
        let known = self.pool.entry(id).log_out();
        let stored = self.store().load(id).await?;
        Ok(newest(known, stored.and_then(|stored| self.own(&stored))))
    }

    /// Deletes a grant: its row is removed, and the user contexts made from it are revoked at once in this process.
    ///
    /// The provider is **not** told. Returns the newest tokens, for a caller that revokes them at the provider. They are **not**
    /// those of a refresh that is still in progress, nor those of another provider.
    ///
    /// # Errors
    /// [`StoreError`] if the row cannot be removed. The grant has ended in this process nevertheless.
    pub async fn delete(&self, id: GrantId) -> Result<Option<Arc<TokenSet>>, StoreError> {
        let entry = self.pool.entry(id);
        let known = entry.log_out();
        let mut removed = None;
        while let Some(stored) = self.store().load(id).await? {
            // A refresh in another process finds the row gone when it saves.
            if self.store().remove(id, stored.version).await? {
                removed = self.own(&stored);
                break;
            }
        }
        drop(entry.end(logged_out(), Row::Removed));
        Ok(newest(known, removed))
    }

    /// Returns the tokens of a grant as a handler uses them.
    #[must_use]
    pub fn upstream(&self, id: GrantId) -> Upstream {
        Upstream::new(Direct(self.pool.entry(id)))
    }

    /// As [`upstream`](Self::upstream), but a caller that has to wait asks `stack`: your own layers around this refresher.
    ///
    /// The errors of the stack are recovered by [`AuthError::recover`].
    #[must_use]
    pub fn upstream_through<R>(&self, id: GrantId, stack: R) -> Upstream
    where
        R: Service<RefreshRequest, Response = Arc<TokenSet>> + Clone + Send + Sync + 'static,
        R::Error: Into<Box<dyn Error + Send + Sync>>,
        R::Future: Send,
    {
        Upstream::new(Through { direct: Direct(self.pool.entry(id)), stack })
    }

    /// Waits for the refreshes in progress and for everything that is not saved yet; what cannot be saved now is tried once more.
    /// Returns the number of grants whose newest tokens could never be saved.
    ///
    /// Call it when no more requests come.
    pub async fn shutdown(&self) -> usize {
        let shared = self.pool.shared();
        shared.draining.cancel();
        shared.tasks.close();
        shared.tasks.wait().await;
        shared.telemetry.lost_count()
    }

    pub(crate) const fn pool(&self) -> &Arc<RefreshPool> {
        &self.pool
    }

    fn store(&self) -> &GrantStore {
        &self.pool.shared().store
    }

    /// Returns the tokens, unless they are another provider's: a caller would present them to this one.
    fn own(&self, stored: &StoredGrant) -> Option<Arc<TokenSet>> {
        (stored.record.issuer() == self.pool.shared().issuer()).then(|| Arc::clone(stored.record.tokens()))
    }
}

impl Service<RefreshRequest> for Refresher {
    type Response = Arc<TokenSet>;
    type Error = AuthError;
    type Future = RefreshFuture;

    /// Always ready.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), AuthError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: RefreshRequest) -> RefreshFuture {
        RefreshFuture::new(self.pool.entry(request.grant()), request.rejected())
    }
}

/// Returns the newer of the tokens in this process and those in the store.
fn newest(known: Option<Arc<TokenSet>>, stored: Option<Arc<TokenSet>>) -> Option<Arc<TokenSet>> {
    match (known, stored) {
        (Some(known), Some(stored)) => {
            let is_newer = known.is_of_same_login(&stored) && known.generation() > stored.generation();
            Some(if is_newer { known } else { stored })
        }
        (known, stored) => stored.or(known),
    }
}

/// Removes expired grants from the store, for as long as the refresher is in use.
async fn sweep(store: GrantStore, clock: Arc<ConfirmedClock>, draining: CancellationToken) {
    loop {
        tokio::select! {
            () = sleep(SWEEP_INTERVAL.mul_f64(rand::random_range(0.9..1.1))) => {}
            () = draining.cancelled() => return,
        }
        let Ok(confirmed) = clock.now() else { continue };
        let swept = tokio::select! {
            swept = store.sweep(confirmed) => swept,
            () = draining.cancelled() => return,
        };
        match swept {
            Ok(swept) => tracing::debug!(swept, "swept the store of grants"),
            Err(error) => tracing::warn!(%error, "the store of grants could not be swept"),
        }
    }
}

/// How many refreshes one request waits for.
const MAX_REFRESHES: u32 = 3;

/// A request for the tokens of a grant. It is cheap to copy, as tower's retry layer requires.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RefreshRequest {
    grant: GrantId,
    rejected: Option<Generation>,
}

impl RefreshRequest {
    /// Creates a request for the current tokens of `grant`, or new ones if those have expired.
    #[must_use]
    pub const fn new(grant: GrantId) -> Self {
        Self { grant, rejected: None }
    }

    /// Reports that the provider rejected the access token of this generation. If it is the current one, it is replaced.
    #[must_use]
    pub const fn with_rejected(mut self, generation: Generation) -> Self {
        self.rejected = Some(generation);
        self
    }

    /// Returns the grant.
    #[must_use]
    pub const fn grant(&self) -> GrantId {
        self.grant
    }

    /// Returns the generation of the rejected access token.
    #[must_use]
    pub const fn rejected(&self) -> Option<Generation> {
        self.rejected
    }
}

/// Future for [`Refresher`](crate::Refresher). Dropping it does not cancel the refresh that it waits for.
#[must_use = "futures do nothing unless polled"]
pub struct RefreshFuture(State);

type Outcome = Result<Arc<TokenSet>, AuthError>;

enum State {
    /// `None` after the outcome was returned.
    Ready(Option<Outcome>),
    Waiting {
        refresh: SharedRefresh,
        waiter: Waiter,
    },
}

struct Waiter {
    entry: Arc<GrantEntry>,
    reported: Option<Generation>,
    refreshes_left: u32,
}

impl RefreshFuture {
    pub(crate) fn new(entry: Arc<GrantEntry>, reported: Option<Generation>) -> Self {
        let decision = ask(&entry, reported);
        Self(Waiter { entry, reported, refreshes_left: MAX_REFRESHES }.follow(decision))
    }
}

impl Waiter {
    fn ask_again(self) -> State {
        let decision = ask_again(&self.entry, self.reported);
        self.follow(decision)
    }

    fn follow(mut self, decision: Decision<SharedRefresh>) -> State {
        match decision {
            Decision::Ready(tokens) => State::Ready(Some(Ok(tokens))),
            Decision::Fail(error) => State::Ready(Some(Err(error))),
            Decision::Wait { .. } if self.refreshes_left == 0 => {
                let error = AuthError::new(Reason::ProviderMisbehaved).with_source("new tokens that have expired");
                State::Ready(Some(Err(error)))
            }
            Decision::Wait { refresh, .. } => {
                self.refreshes_left -= 1;
                State::Waiting { refresh, waiter: self }
            }
        }
    }
}

impl Future for RefreshFuture {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        loop {
            match &mut self.0 {
                State::Ready(outcome) => {
                    return Poll::Ready(outcome.take().expect("a future is not polled after it is ready"));
                }
                State::Waiting { refresh, .. } => {
                    let result = ready!(Pin::new(refresh).poll(cx));
                    let State::Waiting { waiter, .. } = std::mem::replace(&mut self.0, State::Ready(None)) else {
                        unreachable!("the state was Waiting");
                    };
                    self.0 = match result {
                        Err(error) => State::Ready(Some(Err(error))),
                        // The refresh may have been started for a caller that wanted less, or some time ago.
                        Ok(_) => waiter.ask_again(),
                    };
                }
            }
        }
    }
}

impl fmt::Debug for RefreshFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshFuture").finish_non_exhaustive()
    }
}

/// Asks the refresher itself.
#[derive(Clone, Debug)]
pub(crate) struct Direct(pub(crate) Arc<GrantEntry>);

impl UpstreamSource for Direct {
    fn access_token(&self, reported: Option<Generation>) -> UpstreamFuture {
        if let Some(token) = self.0.fresh_token(reported) {
            return UpstreamFuture::ready(Ok(token));
        }
        let tokens = RefreshFuture::new(Arc::clone(&self.0), reported);
        UpstreamFuture::waiting(async { Ok(tokens.await?.access_token().clone()) })
    }

    fn grant(&self) -> Option<GrantId> {
        Some(self.0.id)
    }

    fn revocation(&self) -> Option<Arc<Revocation>> {
        Some(Arc::clone(&self.0.revocation))
    }
}

/// Asks a stack of layers around the refresher, unless there is an access token that works.
pub(crate) struct Through<R> {
    pub(crate) direct: Direct,
    pub(crate) stack: R,
}

impl<R> UpstreamSource for Through<R>
where
    R: Service<RefreshRequest, Response = Arc<TokenSet>> + Clone + Send + Sync + 'static,
    R::Error: Into<Box<dyn Error + Send + Sync>>,
    R::Future: Send,
{
    fn access_token(&self, reported: Option<Generation>) -> UpstreamFuture {
        // The layers limit waiting and refreshing; a token that works needs neither.
        if self.direct.0.has_working_token(reported) {
            return self.direct.access_token(reported);
        }
        let mut request = RefreshRequest::new(self.direct.0.id);
        if let Some(generation) = reported {
            request = request.with_rejected(generation);
        }
        let stack = self.stack.clone();
        UpstreamFuture::waiting(async move {
            let tokens = stack.oneshot(request).await.map_err(|error| AuthError::recover(error.into()))?;
            Ok(tokens.access_token().clone())
        })
    }

    fn grant(&self) -> Option<GrantId> {
        self.direct.grant()
    }

    fn revocation(&self) -> Option<Arc<Revocation>> {
        self.direct.revocation()
    }
}

impl<R> fmt::Debug for Through<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Through").field("direct", &self.direct).finish_non_exhaustive()
    }
}
