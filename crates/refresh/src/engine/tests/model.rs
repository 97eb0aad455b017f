//! A refresher, its provider and its store under the scheduler of shuttle, which switches between tasks at every lock of the engine,
//! every call of the store and every call of the provider.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use portcullis_core::{AuthError, Clock as _, Generation, GrantId, Issuer, Reason, ScopeSet};
use portcullis_oauth::{TokenResponse, providers::Rotation};
use portcullis_store::{
    KeyRing, MemoryStore, StoreError,
    conformance::{Call, FaultyStore},
};
use portcullis_testkit::TestClock;
use shuttle::{future::yield_now, scheduler::RandomScheduler};
use tower_service::Service;

use super::fixture::{LIFETIME, response, unavailable};
use crate::{Acquisition, ClientLogin, GrantStore, RefreshError, Refresher, RefresherConfig, TokenSet};

pub(super) const GRANT: GrantId = GrantId::from_bytes([7; 16]);

/// Runs `test` under random schedules: 25, or as many as the environment variable `SHUTTLE_SCHEDULES` says.
///
/// Tokio's clock stands still: the engine reads it, and no time limit is ever reached.
pub(super) fn explore(test: impl Fn() + Send + Sync + 'static) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime");
    let _context = runtime.enter();
    let schedules = std::env::var("SHUTTLE_SCHEDULES").map_or(25, |text| text.parse().expect("a number"));
    let mut config = shuttle::Config::new();
    config.stack_size = 1024 * 1024;
    shuttle::Runner::new(RandomScheduler::new(schedules), config).run(test);
}

/// A grant in a store, and a refresher of it.
pub(super) struct Model {
    pub(super) refresher: Refresher,
    pub(super) provider: Provider,
    pub(super) store: YieldingStore,
    pub(super) grants: GrantStore,
    pub(super) clock: TestClock,
}

impl Model {
    /// Returns a grant whose provider answers with `answer`. Its access token is fresh.
    pub(super) async fn new(answer: Answer) -> Self {
        let clock = TestClock::new();
        let store = YieldingStore::new(&clock);
        let grants = GrantStore::new(Arc::new(store.store.clone()), KeyRing::ephemeral()).expect("not durable");
        let provider = Provider { answer, ..Provider::default() };
        let refresher = refresher(&grants, &provider, &clock);
        refresher.create(GRANT, tokens(&clock, "first login")).await.expect("a new grant");
        Self { refresher, provider, store, grants, clock }
    }

    /// As [`new`](Self::new), with an access token that has expired.
    pub(super) async fn expired(answer: Answer) -> Self {
        let model = Self::new(answer).await;
        model.clock.advance(LIFETIME);
        model
    }

    /// Returns the grant of a client: a user logs in, and its access token has expired.
    pub(super) async fn of_user(answer: Answer) -> Self {
        let model = Self::of_client(answer, Refresher::new);
        model.log_in("first login").await;
        model.clock.advance(LIFETIME);
        model
    }

    /// Returns the grant of a client that needs no user, and has no tokens yet.
    pub(super) fn without_user(answer: Answer) -> Self {
        Self::of_client(answer, |grants, provider, config| {
            Refresher::with_acquisition(grants, provider.clone(), provider, config)
        })
    }

    fn of_client(answer: Answer, new: fn(GrantStore, Provider, RefresherConfig) -> Refresher) -> Self {
        let clock = TestClock::new();
        let store = YieldingStore::new(&clock);
        let grants = GrantStore::new(Arc::new(store.store.clone()), KeyRing::ephemeral()).expect("not durable");
        let provider = Provider { answer, ..Provider::default() };
        let refresher = new(grants.clone(), provider.clone(), client_config(&clock));
        Self { refresher, provider, store, grants, clock }
    }

    /// Replaces the tokens by those of a login.
    pub(super) async fn log_in(&self, login: &str) -> Arc<TokenSet> {
        self.complete(self.refresher.client_grant(GRANT).begin_login(), login).await.expect("the user does not log out")
    }

    /// Replaces the tokens by those of `login`, unless the user has logged out since it was begun.
    pub(super) async fn complete(&self, login: ClientLogin, name: &str) -> Result<Arc<TokenSet>, AuthError> {
        let mut response = response(Some(LIFETIME));
        response.further.insert("login".to_owned(), name.into());
        login.complete(response, &ScopeSet::default()).await
    }

    /// Returns another process of a client that needs no user.
    pub(super) fn another_client(&self) -> Refresher {
        let (grants, provider) = (self.grants.clone(), self.provider.clone());
        Refresher::with_acquisition(grants, provider.clone(), provider, client_config(&self.clock))
    }

    /// Returns another process with the same store and provider.
    pub(super) fn another(&self) -> Refresher {
        refresher(&self.grants, &self.provider, &self.clock)
    }

    /// Returns the generation in the store.
    pub(super) async fn stored(&self) -> Option<u64> {
        let stored = self.grants.load(GRANT).await.expect("the store can be read");
        stored.map(|stored| stored.record.tokens().generation().number())
    }

    /// Stops the runtime of the refresher: its tasks are dropped wherever they are.
    pub(super) fn stop_runtime(&self) {
        self.refresher.pool().shared().runtime.stop();
    }
}

fn refresher(grants: &GrantStore, provider: &Provider, clock: &TestClock) -> Refresher {
    let issuer = Issuer::new("https://idp.example").expect("issuer");
    let config = RefresherConfig::new(issuer, "test", Rotation::SingleUse);
    Refresher::new(grants.clone(), provider.clone(), config.with_clock(Arc::new(clock.clone())))
}

fn client_config(clock: &TestClock) -> RefresherConfig {
    let issuer = Issuer::new("https://idp.example").expect("issuer");
    RefresherConfig::for_client(issuer, "test").with_clock(Arc::new(clock.clone()))
}

/// Returns the tokens of a login. The extra member `login` is in all tokens that are refreshed from them.
pub(super) fn tokens(clock: &TestClock, login: &str) -> TokenSet {
    let mut response = response(Some(LIFETIME));
    response.further.insert("login".to_owned(), login.into());
    TokenSet::from_login(response, &ScopeSet::default(), clock.now())
}

/// What the provider does with a refresh token.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Answer {
    #[default]
    NewTokens,
    Unavailable,
    Refusal,
    /// The refresh token is spent, and no response arrives.
    Lost,
    Panic,
}

/// A provider of single-use refresh tokens.
#[derive(Clone, Default)]
pub(super) struct Provider {
    answer: Answer,
    presented: Arc<Mutex<HashMap<(String, Generation), usize>>>,
    acquisitions: Arc<AtomicUsize>,
}

impl Provider {
    fn presented(&self) -> MutexGuard<'_, HashMap<(String, Generation), usize>> {
        self.presented.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number of requests, and asserts that no refresh token was presented twice.
    ///
    /// The assertion is not made when the request arrives, because the engine contains a panic of its provider.
    pub(super) fn requests(&self) -> usize {
        let presented = self.presented();
        assert!(presented.values().all(|times| *times == 1), "a refresh token was presented twice: {presented:?}");
        presented.len()
    }

    /// Returns the number of requests that presented no refresh token.
    pub(super) fn acquisitions(&self) -> usize {
        self.acquisitions.load(Ordering::SeqCst)
    }

    async fn acquire(self) -> Result<TokenResponse, RefreshError> {
        self.acquisitions.fetch_add(1, Ordering::SeqCst);
        yield_now().await;
        Ok(response(Some(LIFETIME)))
    }

    async fn refresh(self, tokens: Arc<TokenSet>) -> Result<TokenResponse, RefreshError> {
        let login = tokens.extra().get("login").map(ToString::to_string).unwrap_or_default();
        *self.presented().entry((login, tokens.generation())).or_default() += 1;
        yield_now().await;
        match self.answer {
            Answer::NewTokens => Ok(response(Some(LIFETIME))),
            Answer::Unavailable => Err(RefreshError::transient(unavailable())),
            Answer::Refusal => Err(RefreshError::refused("invalid_grant")),
            Answer::Lost => Err(RefreshError::ambiguous(AuthError::new(Reason::ProviderTimeout))),
            Answer::Panic => std::panic::resume_unwind(Box::new("the provider client panics")),
        }
    }
}

impl Service<Arc<TokenSet>> for Provider {
    type Response = TokenResponse;
    type Error = RefreshError;
    type Future = BoxFuture<'static, Result<TokenResponse, RefreshError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), RefreshError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, tokens: Arc<TokenSet>) -> Self::Future {
        Box::pin(self.clone().refresh(tokens))
    }
}

impl Service<Acquisition> for Provider {
    type Response = TokenResponse;
    type Error = RefreshError;
    type Future = BoxFuture<'static, Result<TokenResponse, RefreshError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), RefreshError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Acquisition) -> Self::Future {
        Box::pin(self.clone().acquire())
    }
}

/// A store in memory. Other tasks may run before and after each of its calls.
#[derive(Clone, Debug)]
pub(super) struct YieldingStore {
    store: FaultyStore,
    refuses_writes: Arc<AtomicBool>,
    leases: Arc<AtomicUsize>,
}

impl YieldingStore {
    fn new(clock: &TestClock) -> Self {
        let (refuses_writes, leases) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (refuses, requested) = (Arc::clone(&refuses_writes), Arc::clone(&leases));
        let store = FaultyStore::new(MemoryStore::new().with_clock(Arc::new(clock.clone())), move |call| {
            let refuses = Arc::clone(&refuses);
            if let Call::Lease(_) = call {
                requested.fetch_add(1, Ordering::SeqCst);
            }
            Box::pin(async move {
                yield_unless_sweep(call).await;
                let is_refused = matches!(call, Call::Swap(_)) && refuses.load(Ordering::SeqCst);
                if is_refused { Err(StoreError::new("writing")) } else { Ok(()) }
            })
        });
        let store = store.with_after(|call| {
            Box::pin(async move {
                yield_unless_sweep(call).await;
                Ok(())
            })
        });
        Self { store, refuses_writes, leases }
    }

    pub(super) fn refuse_writes(&self, refuses: bool) {
        self.refuses_writes.store(refuses, Ordering::SeqCst);
    }

    /// Returns how many leases were requested: one for each refresh of a process without competitors.
    pub(super) fn leases(&self) -> usize {
        self.leases.load(Ordering::SeqCst)
    }
}

async fn yield_unless_sweep(call: Call) {
    if !matches!(call, Call::Sweep(_)) {
        yield_now().await;
    }
}
