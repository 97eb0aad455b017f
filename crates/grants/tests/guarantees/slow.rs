//! Stores that are slow, that hang or fall over, and ends that do not wait for them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
    time::Duration,
};

use portcullis_core::{Clock as _, GrantId, ScopeSet};
use portcullis_grants::{GrantStore, TokenSet};
use portcullis_oauth::providers::Rotation;
use portcullis_store::{
    KeyRing, LeaseOutcome, Store,
    conformance::{Call, FaultyStore},
};
use tokio::time::Instant;

use crate::world::{GRANT, World, all, ask, config, pass};

/// What is wrong.
const WELL: u8 = 0;
/// Reading takes almost as long as the time limit, and no lease is renewed.
const SLOW: u8 = 1;
const SWEEPING_HANGS: u8 = 2;
const READING_PANICS: u8 = 3;

#[derive(Clone, Debug)]
struct Ailing(FaultyStore, Arc<AtomicU8>);

impl Ailing {
    fn of(world: &World) -> Self {
        let ailment = Arc::new(AtomicU8::new(WELL));
        let (before, after) = (Arc::clone(&ailment), Arc::clone(&ailment));
        let store =
            FaultyStore::new(FaultyStore::clone(&world.store), move |call| match (before.load(Relaxed), call) {
                (READING_PANICS, Call::Load(_)) => panic!("the store fell over"),
                (SLOW, Call::Renew(_)) => FaultyStore::fail("renewing"),
                (SWEEPING_HANGS, Call::Sweep(_)) => Box::pin(std::future::pending()),
                _ => FaultyStore::pass(),
            });
        let store = store.with_after(move |call| match (after.load(Relaxed), call) {
            (SLOW, Call::Load(_)) => Box::pin(async {
                tokio::time::sleep(Duration::from_millis(9900)).await;
                Ok(())
            }),
            _ => FaultyStore::pass(),
        });
        Self(store, ailment)
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.0.clone())
    }

    fn suffers_from(&self, ailment: u8) {
        self.1.store(ailment, Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn g_10_a_process_that_was_too_slow_to_keep_its_lease_presents_nothing() {
    let world = World::new().await;
    let (ailing, keys, id) = (Ailing::of(&world), KeyRing::ephemeral(), GrantId::from_bytes([3; 16]));
    let slow = GrantStore::new(ailing.store(), keys.clone()).expect("not durable");
    let fast = GrantStore::new(world.store.shared(), keys).expect("not durable");
    let first = world.of(slow, world.provider.clone(), config(Rotation::SingleUse));
    let second = world.of(fast, world.provider.clone(), config(Rotation::SingleUse));
    let response = world.provider.log_in("carol");
    first.create(id, TokenSet::from_login(response, &ScopeSet::default(), world.clock.now())).await.expect("begun");
    pass(301).await;
    world.provider.set_latency(Duration::from_millis(11_900));
    ailing.suffers_from(SLOW);
    let callers = ask(&first.upstream(id), 1);
    pass(1).await;
    let others = ask(&second.upstream(id), 1);
    assert_eq!(all(others).await, 1);
    drop(callers);
    pass(60).await;
    assert_eq!((world.provider.most_presented(), world.provider.is_alive("carol")), (1, true));
}

#[tokio::test(start_paused = true)]
async fn shutdown_does_not_wait_for_a_sweep_that_hangs() {
    let world = World::new().await;
    let ailing = Ailing::of(&world);
    ailing.suffers_from(SWEEPING_HANGS);
    let vault = GrantStore::new(ailing.store(), KeyRing::ephemeral()).expect("not durable");
    let refresher = world.of(vault, world.provider.clone(), config(Rotation::SingleUse));
    // The sweep has begun, and its time is not over.
    tokio::time::sleep(Duration::from_secs(664)).await;
    let begun = Instant::now();
    refresher.shutdown().await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn shutdown_does_not_wait_for_the_lease_of_another_process() {
    let world = World::new().await;
    pass(301).await;
    assert!(matches!(
        world.store.lease(GrantStore::key(GRANT), Duration::from_secs(30)).await,
        Ok(LeaseOutcome::Acquired(_))
    ));
    let callers = ask(&world.upstream(), 3);
    pass(1).await;
    let begun = Instant::now();
    world.refresher.shutdown().await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    for caller in callers {
        assert!(caller.await.expect("no panic").expect_err("no token").is_transient());
    }
    assert_eq!(world.provider.exchanges(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_falls_over_frees_the_slot() {
    let world = World::new().await;
    let (ailing, id) = (Ailing::of(&world), GrantId::from_bytes([8; 16]));
    let vault = GrantStore::new(ailing.store(), KeyRing::ephemeral()).expect("not durable");
    let refresher = world.of(vault, world.provider.clone(), config(Rotation::SingleUse));
    let response = world.provider.log_in("eve");
    refresher.create(id, TokenSet::from_login(response, &ScopeSet::default(), world.clock.now())).await.expect("begun");
    pass(301).await;
    ailing.suffers_from(READING_PANICS);
    assert!(refresher.upstream(id).access_token().await.expect_err("failed").is_transient());
    ailing.suffers_from(WELL);
    let begun = Instant::now();
    assert!(refresher.upstream(id).access_token().await.is_err(), "it is left alone for a moment");
    assert_eq!(begun.elapsed(), Duration::ZERO);
    pass(25).await;
    assert_eq!(all(ask(&refresher.upstream(id), 3)).await, 1);
}
