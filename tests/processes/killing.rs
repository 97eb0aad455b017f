//! Processes that are killed at any point, again and again.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream};
use portcullis::{
    refresh::Refresher,
    types::{GrantId, Reason},
    upstream::ProviderClient,
};
use secrecy::ExposeSecret as _;
use tokio::{task::JoinSet, time::sleep};

use crate::{
    child::Child,
    commands::{ALIVE, Asks, Kept, Report},
    fixture::World,
    worker::{Ahead, client, refresher},
};

/// The number of processes at the same time, beside the one that survives.
const LANES: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_lose_no_grant_that_the_provider_did_not_consume_unanswered() {
    kill(120, Kept::InDatabase, Asks::Refresher).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g10_kills_lose_no_login_in_a_file_that_the_provider_did_not_consume_unanswered() {
    kill(60, Kept::InFile, Asks::Manager).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g10_kills_lose_no_login_in_a_database_that_the_provider_did_not_consume_unanswered() {
    kill(60, Kept::InDatabase, Asks::Manager).await;
}

async fn kill(kills: usize, kept: Kept, asks: Asks) {
    // What each process that is killed has to itself, and what all of them share. A file is for few rows.
    let (alone, common) = if kept == Kept::InFile { (1, 4) } else { (6, 6) };
    let world = Arc::new(World::with(kept, asks, Duration::from_secs(1), Duration::from_millis(40)).await);
    let long_ago = Duration::from_secs(10);
    let untouched = world.log_in(common, long_ago).await;
    let shared = world.log_in(common, long_ago).await;
    let survivor = start(&world, untouched.iter().chain(&shared));
    survivor.is_ready().await;

    let mut lanes = JoinSet::new();
    for _ in 0..LANES {
        let (world, shared) = (Arc::clone(&world), shared.clone());
        lanes.spawn(async move {
            let (mut grants, mut said) = (Vec::new(), Vec::new());
            for _ in 0..kills / LANES {
                let own = world.log_in(alone, long_ago).await;
                let process = start(&world, own.iter().chain(&shared));
                process.is_ready().await;
                sleep(Duration::from_millis(rand::random_range(0..250))).await;
                said.extend(process.kill().await);
                grants.extend(own);
            }
            (grants, said)
        });
    }
    let (mut own, mut said) = (Vec::new(), Vec::new());
    for (grants, more) in lanes.join_all().await {
        own.extend(grants);
        said.extend(more);
    }
    assert!(survivor.count(|said| matches!(said, Report::Handed { .. })) > 0);
    said.extend(survivor.stop().await);
    // What killed processes had sent may still be under way at the provider.
    world.provider.is_settled().await;

    let log = Log::new(&world, &said);
    let later = Later::new(&world).await;
    let tally: Vec<_> = stream::iter(own.iter().chain(&untouched).chain(&shared))
        .map(|grant| later.check(&world, &log, *grant))
        .buffer_unordered(8)
        .collect()
        .await;
    let (alive, unanswered): (Vec<_>, Vec<_>) = tally.iter().partition(|(_, is_alive)| *is_alive);
    assert!(
        untouched.iter().all(|grant| alive.iter().any(|(of, _)| of == grant)),
        "no process that had them was killed"
    );
    assert!(log.newest.values().any(|generation| *generation > 0), "some were renewed");
    assert!(!unanswered.is_empty(), "some kills came at the worst point");
    assert_eq!(world.provider.idp.families_killed(), unanswered.len());
    println!("{kills} kills, {} grants: {} alive, {} consumed unanswered", tally.len(), alive.len(), unanswered.len());
}

fn start<'a>(world: &World, grants: impl Iterator<Item = &'a GrantId>) -> Child {
    let mut commands = world.commands(grants.copied());
    // What a dead process has reserved is free again after this and eight seconds.
    commands.exchange_timeout_ms = 2_000;
    Child::start(&commands)
}

/// What the processes have said, by grant.
struct Log {
    /// The newest generation that was ever handed out.
    newest: HashMap<String, u64>,
}

impl Log {
    fn new(world: &World, said: &[Report]) -> Self {
        let mut newest = HashMap::<String, u64>::new();
        for said in said {
            match said {
                Report::Handed { grant, generation, asked_at, expires_at } => {
                    assert!(asked_at < expires_at, "known to be dead: {said:?}");
                    let ended_at = world.provider.history(grant.parse().expect("a grant")).ended_at;
                    assert!(ended_at.is_none_or(|ended_at| *asked_at <= ended_at.as_nanos()), "{said:?} {ended_at:?}");
                    let newest = newest.entry(grant.clone()).or_default();
                    *newest = (*newest).max(*generation);
                }
                // A task that had the token when the grant ended may see it refused.
                Report::Used { grant, outcome, .. } if outcome != ALIVE => {
                    let history = world.provider.history(grant.parse().expect("a grant"));
                    assert!(history.ended_at.is_some(), "{said:?} {history:?}");
                }
                Report::Ended { grant, .. } => {
                    let history = world.provider.history(grant.parse().expect("a grant"));
                    assert!(history.ended_at.is_some(), "{said:?} {history:?}");
                }
                _ => {}
            }
        }
        Self { newest }
    }
}

/// A process that comes when all tokens have expired, and all that dead ones have reserved is free.
struct Later {
    client: ProviderClient,
    refresher: Refresher,
}

impl Later {
    async fn new(world: &World) -> Self {
        let clock = Arc::new(Ahead(Duration::from_secs(60)));
        let client = client(&world.issuer, clock.clone());
        let vault = world.grants(clock.clone()).await;
        Self { refresher: refresher(vault, &client, clock, Duration::from_secs(12)), client }
    }

    /// Whether the grant is alive. If it is not, the provider has consumed its refresh token, and the answer was never saved.
    async fn check(&self, world: &World, log: &Log, grant: GrantId) -> (GrantId, bool) {
        let idp = &world.provider.idp;
        let (history, stored) = (world.provider.history(grant), world.stored(grant).await);
        let newest = log.newest.get(&grant.to_string()).copied().unwrap_or_default();
        let Some(stored) = stored else {
            assert!(history.ended_at.is_some(), "{grant} is gone: {history:?}");
            assert!(history.rotations > newest, "{grant}: what was handed out was not saved: {history:?} {newest}");
            return (grant, false);
        };
        let generation = stored.generation().number();
        assert!(newest <= generation, "{grant}: what was handed out was not saved: {newest} > {generation}");
        let refresh_token = stored.refresh_token().expect("one").expose_secret();
        let upstream = self.refresher.upstream(grant);
        if history.rotations == generation {
            assert_eq!(idp.times_presented(refresh_token), 0, "{grant}: {history:?}, stored {generation}");
            // Not before the assertion: asking for a token starts its refresh.
            let token = upstream.access_token().await.unwrap_or_else(|error| panic!("{grant}: {error:?}"));
            // Later still, if the first had expired before it was saved.
            assert!(token.generation().number() > generation, "{grant}");
            assert_eq!(self.client.profile(&token).await.expect("alive").subject(), grant.to_string());
            (grant, true)
        } else {
            assert_eq!((history.rotations, idp.is_refreshable(refresh_token)), (generation + 1, false), "{grant}");
            assert_eq!(upstream.access_token().await.expect_err("consumed").reason(), Reason::GrantEnded);
            (grant, false)
        }
    }
}
