//! The fixture: a provider, a store and a refresher.

use std::{sync::Arc, time::Duration};

use portcullis_core::{AccessToken, AuthError, Clock as _, GrantId, Issuer, ScopeSet, Upstream};
use portcullis_oauth::providers::Rotation;
use portcullis_refresh::{GrantRecord, GrantStore, RefreshRequest, Refresher, RefresherConfig, TokenSet};
use portcullis_store::{KeyRing, MemoryStore};
use portcullis_testkit::TestClock;
use tokio::{task::JoinHandle, time::sleep};
use tower::ServiceExt as _;

use crate::{provider::Provider, store::Store};

pub(crate) const GRANT: GrantId = GrantId::from_bytes([7; 16]);

pub(crate) struct Fixture {
    pub(crate) provider: Provider,
    pub(crate) store: Store,
    pub(crate) clock: TestClock,
    pub(crate) grants: GrantStore,
    pub(crate) refresher: Refresher,
}

pub(crate) fn issuer() -> Issuer {
    Issuer::new("https://idp.example").expect("issuer")
}

pub(crate) fn config(rotation: Rotation) -> RefresherConfig {
    RefresherConfig::new(issuer(), "test", rotation)
}

impl Fixture {
    /// Returns a grant in the store whose access token lives for 300 s. The refresher has not read it.
    pub(crate) async fn new() -> Self {
        Self::with(config(Rotation::SingleUse)).await
    }

    pub(crate) async fn with(config: RefresherConfig) -> Self {
        let clock = TestClock::new();
        let (provider, store) = (Provider::new(), Store::new(MemoryStore::new().with_clock(Arc::new(clock.clone()))));
        let grants = GrantStore::new(store.shared(), KeyRing::ephemeral()).expect("not durable");
        let refresher = Refresher::new(grants.clone(), provider.clone(), config.with_clock(Arc::new(clock.clone())));
        let fixture = Self { provider, store, clock, grants, refresher };
        fixture.log_in(GRANT, "alice").await;
        fixture
    }

    /// Returns another process with the same store.
    pub(crate) fn another(&self, config: RefresherConfig) -> Refresher {
        self.at(self.provider.clone(), config)
    }

    /// Returns another process with the same store and another provider.
    pub(crate) fn at(&self, provider: Provider, config: RefresherConfig) -> Refresher {
        self.of(self.grants.clone(), provider, config)
    }

    /// Returns another process with another store.
    pub(crate) fn of(&self, grants: GrantStore, provider: Provider, config: RefresherConfig) -> Refresher {
        Refresher::new(grants, provider, config.with_clock(Arc::new(self.clock.clone())))
    }

    pub(crate) async fn log_in(&self, id: GrantId, name: &str) {
        let tokens = TokenSet::from_login(self.provider.log_in(name), &ScopeSet::default(), self.clock.now());
        // Without the refresher, which would have the tokens in its process.
        let record = GrantRecord::new(issuer(), Arc::new(tokens));
        self.grants.create(id, &record).await.expect("a new grant");
    }

    pub(crate) fn upstream(&self) -> Upstream {
        self.refresher.upstream(GRANT)
    }

    /// Returns the tokens of the refresher.
    pub(crate) async fn tokens(&self) -> Result<Arc<TokenSet>, AuthError> {
        self.refresher.clone().oneshot(RefreshRequest::new(GRANT)).await
    }

    /// Returns the number of the generation in the store.
    pub(crate) async fn stored(&self) -> Option<u64> {
        let stored = self.grants.load(GRANT).await.expect("the store can be read");
        stored.map(|stored| stored.record.tokens().generation().number())
    }
}

/// Asks `count` times at once, each on a task of its own.
pub(crate) fn ask(upstream: &Upstream, count: usize) -> Vec<JoinHandle<Result<AccessToken, AuthError>>> {
    let ask = |_| {
        let upstream = upstream.clone();
        tokio::spawn(async move { upstream.access_token().await })
    };
    (0..count).map(ask).collect()
}

/// Reports `token` `count` times at once, each on a task of its own.
pub(crate) fn report(
    upstream: &Upstream,
    token: &AccessToken,
    count: usize,
) -> Vec<JoinHandle<Result<AccessToken, AuthError>>> {
    let report = |_| {
        let (upstream, token) = (upstream.clone(), token.clone());
        tokio::spawn(async move { upstream.rejected(&token).await })
    };
    (0..count).map(report).collect()
}

/// Returns the generation that all callers got.
pub(crate) async fn all(callers: Vec<JoinHandle<Result<AccessToken, AuthError>>>) -> u64 {
    let mut generations = Vec::new();
    for caller in callers {
        generations.push(caller.await.expect("no panic").expect("a token").generation().number());
    }
    let first = generations.first().copied().expect("a caller");
    assert!(generations.iter().all(|generation| *generation == first), "{generations:?}");
    first
}

/// Waits for these seconds of the paused clock.
pub(crate) async fn pass(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}
