//! Refused tokens, callers that go away, failures, a slow refresh: over loopback and in real time.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use portcullis::{
    egress::{Egress, EgressConfig},
    types::Challenge,
};
use portcullis_testkit::{Endpoint, IdentityProvider, TestClock};
use tokio::time::sleep;

use crate::{
    load::contention::{
        ClientLayer, Outcome, Scenario, Site,
        manager::{self, Caller},
        play,
    },
    median,
};

/// What it comes to.
pub(crate) struct Stale {
    /// Exchanges for 100 requests whose token is refused, in the worst run.
    pub(crate) exchanges: usize,
    /// The time until the last of them has its response, in calls of the provider, in the median run.
    pub(crate) round_trips: f64,
    /// Exchanges for 100 later reports about the token that was replaced, in the worst run.
    pub(crate) late_exchanges: usize,
    /// Calls that failed after a caller went away during an exchange.
    pub(crate) lost_by_dropped_caller: usize,
    /// Exchanges for 100 requests within one back-off window of an authorization server that answers 503.
    pub(crate) outage_exchanges: usize,
    /// How long the slowest of 100 callers waits for a good token during a refresh that takes 2 s.
    pub(crate) wait_on_good_token: Duration,
}

/// One run with a refused token.
struct Refused {
    exchanges: usize,
    round_trips: f64,
    late_exchanges: usize,
}

/// The runs with a refused token.
const RUNS: usize = 9;

/// The time that each call of the provider takes.
const LATENCY: Duration = Duration::from_millis(10);

/// Runs the measurements.
pub(crate) fn run() -> Result<Stale, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut runs = Vec::new();
        for _ in 0..RUNS {
            runs.push(refused().await?);
        }
        let round_trips: Vec<_> = runs.iter().map(|run| run.round_trips).collect();
        let [_, later] = two(played(Scenario::F).await?)?;
        let outage = played(Scenario::D).await?;
        Ok(Stale {
            exchanges: runs.iter().map(|run| run.exchanges).max().unwrap_or_default(),
            round_trips: median(&round_trips),
            late_exchanges: runs.iter().map(|run| run.late_exchanges).max().unwrap_or_default(),
            lost_by_dropped_caller: later.logins + later.later,
            outage_exchanges: outage[0].exchanges,
            wait_on_good_token: during_refresh().await?,
        })
    })
}

fn two(outcomes: Vec<Outcome>) -> Result<[Outcome; 2], Box<dyn Error>> {
    outcomes.try_into().map_err(|_| "two bursts".into())
}

async fn played(scenario: Scenario) -> Result<Vec<Outcome>, Box<dyn Error>> {
    let idp = IdentityProvider::new();
    let _running = idp.serve().await?;
    let site = site(idp)?;
    Ok(play(scenario, &ClientLayer, &site).await)
}

fn site(idp: IdentityProvider) -> Result<Site, Box<dyn Error>> {
    let egress = Egress::new(EgressConfig::new().with_loopback_allowed())?;
    Ok(Site::new(idp, TestClock::new(), |_| egress))
}

/// 100 requests with a refused token, and 100 late reports about it.
async fn refused() -> Result<Refused, Box<dyn Error>> {
    let idp = IdentityProvider::new();
    let _running = idp.serve().await?;
    let site = site(idp)?;
    site.idp.set_latency(Endpoint::Token, LATENCY);
    site.idp.set_latency(Endpoint::UserInfo, LATENCY);
    let held = site.refused();
    let manager = manager::manager(&site, manager::store(&site, &held).await);
    let clients = [Caller::new(&site, manager.clone())];
    let refused = manager.acquire().await?;

    let begun = Instant::now();
    assert_ne!(site.call_resource("unknown").await?, http::StatusCode::OK);
    let one_call = begun.elapsed();
    let burst = site.burst(&clients, 100).await;
    assert_eq!(burst.served, 100, "{burst}");

    let before = site.idp.calls(Endpoint::Token);
    let challenge = Challenge::bearer().with("error", "invalid_token");
    let reports = join_all((0..100).map(|_| manager.rejected(&refused, &challenge))).await;
    assert!(reports.iter().all(Result::is_ok));
    let round_trips = burst.last.as_secs_f64() / one_call.as_secs_f64();
    Ok(Refused { exchanges: burst.exchanges, round_trips, late_exchanges: site.idp.calls(Endpoint::Token) - before })
}

/// 100 callers with a good token, one after the other, during a refresh.
async fn during_refresh() -> Result<Duration, Box<dyn Error>> {
    let idp = IdentityProvider::new();
    let _running = idp.serve().await?;
    let site = site(idp)?;
    site.idp.set_latency(Endpoint::Token, Duration::from_secs(2));
    let held = site.held_for(Duration::from_secs(575));
    let manager = manager::manager(&site, manager::store(&site, &held).await);
    let first = manager.acquire().await?;
    sleep(Duration::from_millis(200)).await;
    let mut slowest = Duration::ZERO;
    for _ in 0..100 {
        let begun = Instant::now();
        let token = manager.acquire().await?;
        slowest = slowest.max(begun.elapsed());
        assert_eq!(token.generation(), first.generation(), "the refresh goes on");
    }
    manager.shutdown().await;
    assert!(manager.acquire().await?.generation() > first.generation(), "a refresh was in progress");
    Ok(slowest)
}
