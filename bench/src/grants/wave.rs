//! 10,000 grants whose tokens expire at once, and a provider that takes 50 ms and 64 requests at a time.

use std::{
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use portcullis::{
    ScopeSet,
    egress::Egress,
    refresh::{GrantStore, Refresher, RefresherConfig, TokenSet},
    store::{KeyRing, MemoryStore},
    types::{Clock, SystemClock},
    upstream::ProviderClient,
};
use portcullis_testkit::{Endpoint, IdentityProvider};
use tower::{ServiceExt, limit::ConcurrencyLimit};

use super::tokens;
use crate::load::fixture::{provider_client, token_response};

const GRANTS: usize = 10_000;
const CONNECTIONS: usize = 64;
const LATENCY: Duration = Duration::from_millis(50);

/// The results.
pub(crate) struct Wave {
    /// The time until the last grant has a new token.
    pub(crate) elapsed: Duration,
    /// The time that the provider takes for the same number of refreshes without a store and a single flight.
    pub(crate) provider: Duration,
}

impl Wave {
    /// Returns the time of a provider that only waits.
    pub(crate) fn ideal() -> Duration {
        LATENCY.mul_f64(GRANTS as f64 / CONNECTIONS as f64)
    }

    /// Returns the ratio to the ideal.
    pub(crate) fn ratio(&self) -> f64 {
        self.elapsed.div_duration_f64(Self::ideal())
    }
}

/// Runs the measurement on all processors.
pub(crate) fn run() -> Result<Wave, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async { Ok(Wave { elapsed: refreshed().await?, provider: alone().await? }) })
}

/// A provider and its client.
struct Provider {
    idp: IdentityProvider,
    client: ConcurrencyLimit<ProviderClient>,
    clock: Arc<dyn Clock>,
}

impl Provider {
    fn new() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let idp = IdentityProvider::new().with_clock(Arc::clone(&clock));
        idp.set_latency(Endpoint::Token, LATENCY);
        let client = provider_client(&idp, Egress::from_service(idp.clone()), &clock);
        Self { idp, client: ConcurrencyLimit::new(client, CONNECTIONS), clock }
    }

    /// Returns expired tokens.
    fn expired(&self, number: usize) -> TokenSet {
        let mut login = token_response(&self.idp.issue_grant(&format!("user-{number}"), "openid"));
        login.expires_in = Some(Duration::from_secs(600));
        TokenSet::from_login(login, &ScopeSet::default(), self.clock.now().saturating_sub(Duration::from_secs(1000)))
    }

    fn check(&self) {
        assert_eq!(self.idp.rotations(), GRANTS, "one exchange for each grant");
        assert_eq!(self.idp.most_times_presented(), 1, "no refresh token twice");
    }
}

async fn refreshed() -> Result<Duration, Box<dyn Error>> {
    let provider = Provider::new();
    let store = MemoryStore::new().with_clock(Arc::clone(&provider.clock));
    let vault = GrantStore::new(Arc::new(store), KeyRing::ephemeral())?;
    // A request in the queue of the limit waits for all earlier ones.
    let config = RefresherConfig::for_provider(provider.client.get_ref().provider());
    let config = config.with_refresh_timeout(Duration::from_secs(300));
    let clock = Arc::clone(&provider.clock);
    let refresher = Refresher::new(vault, provider.client.clone(), config.with_clock(clock));
    for number in 0..GRANTS {
        refresher.create(tokens::id(number), provider.expired(number)).await?;
    }
    let begun = Instant::now();
    let tasks = (0..GRANTS).map(|number| {
        let upstream = refresher.upstream(tokens::id(number));
        tokio::spawn(async move { upstream.access_token().await })
    });
    let tasks: Vec<_> = tasks.collect();
    for token in join_all(tasks).await {
        assert_eq!(token??.generation().number(), 1, "a new token");
    }
    let elapsed = begun.elapsed();
    provider.check();
    assert_eq!(refresher.shutdown().await, 0, "all are saved");
    Ok(elapsed)
}

async fn alone() -> Result<Duration, Box<dyn Error>> {
    let provider = Provider::new();
    let tokens: Vec<_> = (0..GRANTS).map(|number| Arc::new(provider.expired(number))).collect();
    let begun = Instant::now();
    let tasks = tokens.into_iter().map(|tokens| tokio::spawn(provider.client.clone().oneshot(tokens)));
    let tasks: Vec<_> = tasks.collect();
    for response in join_all(tasks).await {
        response??;
    }
    let elapsed = begun.elapsed();
    provider.check();
    Ok(elapsed)
}
