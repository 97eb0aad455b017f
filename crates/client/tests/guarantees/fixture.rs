//! [`Fixture`]: a server, a store, a clock, and managers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use portcullis_client::{AccessToken, AcquireError, Challenge, ScopeSet, TokenManager, TokenManagerBuilder};
use portcullis_refresh::GrantStore;
use portcullis_store::{
    KeyRing, MemoryStore,
    conformance::{Call, FaultyStore},
};
use portcullis_testkit::TestClock;
use tokio::{task::JoinHandle, time::sleep};

use crate::server::{Kind, Server};

pub(crate) struct Fixture {
    pub(crate) server: Server,
    pub(crate) clock: TestClock,
    pub(crate) store: GrantStore,
    /// The store refuses writes of rows.
    pub(crate) refuses_writes: Arc<AtomicBool>,
    /// How many seconds pass before the store writes a row.
    pub(crate) slowness: Arc<AtomicU64>,
    /// The store refuses everything.
    pub(crate) refuses_reads: Arc<AtomicBool>,
    pub(crate) manager: TokenManager,
}

impl Fixture {
    pub(crate) fn new(kind: Kind) -> Self {
        let (server, clock) = (Server::new(kind), TestClock::new());
        let (refuses_writes, refuses_reads) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let (writes, reads) = (Arc::clone(&refuses_writes), Arc::clone(&refuses_reads));
        let slowness = Arc::<AtomicU64>::default();
        let slow = Arc::clone(&slowness);
        let store = FaultyStore::new(MemoryStore::new().with_clock(Arc::new(clock.clone())), move |call| match call {
            Call::Swap(_) if writes.load(Ordering::SeqCst) => FaultyStore::fail("writing"),
            Call::Swap(_) if slow.load(Ordering::SeqCst) > 0 => {
                let seconds = slow.load(Ordering::SeqCst);
                Box::pin(async move {
                    pass(seconds).await;
                    Ok(())
                })
            }
            _ if reads.load(Ordering::SeqCst) => FaultyStore::fail("reading"),
            _ => FaultyStore::pass(),
        });
        let store = GrantStore::new(Arc::new(store), KeyRing::ephemeral()).expect("not durable");
        let manager = builder(&server, &clock, &store).build();
        Self { server, clock, store, refuses_writes, slowness, refuses_reads, manager }
    }

    /// As [`new`](Self::new), with a token that is fresh.
    pub(crate) async fn logged_in(kind: Kind) -> (Self, AccessToken) {
        let fixture = Self::new(kind);
        let token = fixture.log_in().await;
        (fixture, token)
    }

    /// As [`logged_in`](Self::logged_in), with a token that has expired.
    pub(crate) async fn expired(kind: Kind) -> Self {
        let (fixture, _) = Self::logged_in(kind).await;
        pass(300).await;
        fixture
    }

    pub(crate) async fn log_in(&self) -> AccessToken {
        let token = self.manager.login(&ScopeSet::default()).await.expect("a login");
        let mut state = self.server.state();
        (state.obtained, state.refreshes, state.resolved, state.most_running) = (0, 0, 0, 0);
        state.asked.clear();
        token
    }

    /// Returns the manager of another process with the same store.
    pub(crate) fn another(&self) -> TokenManager {
        self.builder().build()
    }

    pub(crate) fn builder(&self) -> TokenManagerBuilder {
        builder(&self.server, &self.clock, &self.store)
    }

    pub(crate) fn refuse_writes(&self, refuses: bool) {
        self.refuses_writes.store(refuses, Ordering::SeqCst);
    }

    pub(crate) fn refuse_reads(&self, refuses: bool) {
        self.refuses_reads.store(refuses, Ordering::SeqCst);
    }
}

fn builder(server: &Server, clock: &TestClock, store: &GrantStore) -> TokenManagerBuilder {
    TokenManager::builder(server.clone()).with_clock(Arc::new(clock.clone())).with_store(store.clone())
}

pub(crate) type Caller = JoinHandle<Result<AccessToken, AcquireError>>;

pub(crate) fn acquire(manager: &TokenManager, count: usize) -> Vec<Caller> {
    let one = |_| {
        let manager = manager.clone();
        tokio::spawn(async move { manager.acquire().await })
    };
    (0..count).map(one).collect()
}

pub(crate) fn acquire_for(manager: &TokenManager, scopes: &str, count: usize) -> Vec<Caller> {
    let one = |_| {
        let (manager, scopes) = (manager.clone(), scopes_of(scopes));
        tokio::spawn(async move { manager.acquire_for(&scopes).await })
    };
    (0..count).map(one).collect()
}

pub(crate) fn report(manager: &TokenManager, token: &AccessToken, challenge: &Challenge, count: usize) -> Vec<Caller> {
    let one = |_| {
        let (manager, token, challenge) = (manager.clone(), token.clone(), challenge.clone());
        tokio::spawn(async move { manager.rejected(&token, &challenge).await })
    };
    (0..count).map(one).collect()
}

/// Returns what the callers got.
pub(crate) async fn join(callers: Vec<Caller>) -> Vec<Result<AccessToken, AcquireError>> {
    let mut results = Vec::new();
    for caller in callers {
        results.push(caller.await.expect("no caller panics"));
    }
    results
}

/// Returns the text of the token that all callers got.
pub(crate) async fn all(callers: Vec<Caller>) -> String {
    let texts: Vec<_> =
        join(callers).await.into_iter().map(|token| token.expect("a token").expose_secret().to_owned()).collect();
    let first = texts.first().cloned().expect("a caller");
    assert!(texts.iter().all(|text| *text == first), "{texts:?}");
    first
}

/// Returns the errors of the callers, all of which failed.
pub(crate) async fn errors(callers: Vec<Caller>) -> Vec<AcquireError> {
    join(callers).await.into_iter().map(|result| result.expect_err("an error")).collect()
}

pub(crate) fn scopes_of(text: &str) -> ScopeSet {
    ScopeSet::parse(text).expect("scopes")
}

/// Waits for these seconds of the paused clock.
pub(crate) async fn pass(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

pub(crate) async fn pass_millis(millis: u64) {
    sleep(Duration::from_millis(millis)).await;
}
