//! A provider, a store and a refresher, put together.

use std::{sync::Arc, time::Duration};

use portcullis_core::{AccessToken, AuthError, Clock as _, GrantId, Issuer, ScopeSet, Upstream};
use portcullis_grants::{
    GrantRecord, GrantStore, KeyRing, MemoryStore, RefreshRequest, Refresher, RefresherConfig, TokenSet,
};
use portcullis_oauth::providers::Rotation;
use portcullis_testkit::TestClock;
use tokio::{task::JoinHandle, time::sleep};
use tower::ServiceExt as _;

use crate::{provider::Provider, store::Store};

pub(crate) const GRANT: GrantId = GrantId::from_bytes([7; 16]);

pub(crate) struct World {
    pub(crate) provider: Provider,
    pub(crate) store: Store,
    pub(crate) clock: TestClock,
    pub(crate) vault: GrantStore,
    pub(crate) refresher: Refresher,
}

pub(crate) fn issuer() -> Issuer {
    Issuer::new("https://idp.example").expect("issuer")
}

pub(crate) fn config(rotation: Rotation) -> RefresherConfig {
    RefresherConfig::new(issuer(), "test", rotation)
}

impl World {
    /// A grant whose access token lives for 300 s, in the store and in no memory.
    pub(crate) async fn new() -> Self {
        Self::with(config(Rotation::SingleUse)).await
    }

    pub(crate) async fn with(config: RefresherConfig) -> Self {
        let clock = TestClock::new();
        let (provider, store) = (Provider::new(), Store::new(MemoryStore::new(Arc::new(clock.clone()))));
        let vault = GrantStore::new(Arc::new(store.clone()), KeyRing::ephemeral()).expect("not durable");
        let refresher = Refresher::new(vault.clone(), provider.clone(), config.with_clock(Arc::new(clock.clone())));
        let world = Self { provider, store, clock, vault, refresher };
        world.log_in(GRANT, "alice").await;
        world
    }

    /// Another process with the same store.
    pub(crate) fn another(&self, config: RefresherConfig) -> Refresher {
        self.at(self.provider.clone(), config)
    }

    /// Another process with the same store, before another provider.
    pub(crate) fn at(&self, provider: Provider, config: RefresherConfig) -> Refresher {
        self.of(self.vault.clone(), provider, config)
    }

    /// Another process with another store.
    pub(crate) fn of(&self, vault: GrantStore, provider: Provider, config: RefresherConfig) -> Refresher {
        Refresher::new(vault, provider, config.with_clock(Arc::new(self.clock.clone())))
    }

    pub(crate) async fn log_in(&self, id: GrantId, name: &str) {
        let tokens = TokenSet::from_login(self.provider.log_in(name), &ScopeSet::default(), self.clock.now());
        // Not by the refresher, which would have the tokens in its memory.
        let record = GrantRecord::new(issuer(), Arc::new(tokens));
        self.vault.create(id, &record).await.expect("a new grant");
    }

    pub(crate) fn upstream(&self) -> Upstream {
        self.refresher.upstream(GRANT)
    }

    /// The tokens as the refresher has them.
    pub(crate) async fn tokens(&self) -> Result<Arc<TokenSet>, AuthError> {
        self.refresher.clone().oneshot(RefreshRequest::new(GRANT)).await
    }

    /// The number of the generation in the store.
    pub(crate) async fn stored(&self) -> Option<u64> {
        let kept = self.vault.load(GRANT).await.expect("the store can be read");
        kept.map(|kept| kept.record.tokens().generation().number())
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

/// The generation that everybody got.
pub(crate) async fn all(callers: Vec<JoinHandle<Result<AccessToken, AuthError>>>) -> u64 {
    let mut generations = Vec::new();
    for caller in callers {
        generations.push(caller.await.expect("no panic").expect("a token").generation().number());
    }
    let first = generations.first().copied().expect("somebody");
    assert!(generations.iter().all(|generation| *generation == first), "{generations:?}");
    first
}

/// Lets everything happen that happens within so many seconds.
pub(crate) async fn pass(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}
