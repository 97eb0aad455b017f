//! Stores that are slow, hang or panic, and shutdowns that do not wait for them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
    time::Duration,
};

use portcullis_core::{Clock as _, GrantId, ScopeSet};
use portcullis_oauth::providers::Rotation;
use portcullis_refresh::{GrantStore, TokenSet};
use portcullis_store::{
    KeyRing, LeaseOutcome, Store,
    conformance::{Call, FaultyStore},
};
use tokio::time::Instant;

use crate::fixture::{Fixture, GRANT, all, ask, config, pass};

/// The faults.
const WELL: u8 = 0;
/// Reading takes almost as long as the time limit, and no lease is renewed.
const SLOW: u8 = 1;
const SWEEPING_HANGS: u8 = 2;
const READING_PANICS: u8 = 3;

#[derive(Clone, Debug)]
struct Ailing(FaultyStore, Arc<AtomicU8>);

impl Ailing {
    #[expect(clippy::panic, reason = "a store that panics is one of the faults")]
    fn of(fixture: &Fixture) -> Self {
        let fault = Arc::new(AtomicU8::new(WELL));
        let (before, after) = (Arc::clone(&fault), Arc::clone(&fault));
        let store =
            FaultyStore::new(FaultyStore::clone(&fixture.store), move |call| match (before.load(Relaxed), call) {
                (READING_PANICS, Call::Load(_)) => panic!("the store panicked"),
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
        Self(store, fault)
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.0.clone())
    }

    fn set_fault(&self, fault: u8) {
        self.1.store(fault, Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn g_10_a_process_that_was_too_slow_to_keep_its_lease_presents_no_refresh_token() {
    let fixture = Fixture::new().await;
    let (ailing, keys, id) = (Ailing::of(&fixture), KeyRing::ephemeral(), GrantId::from_bytes([3; 16]));
    let slow = GrantStore::new(ailing.store(), keys.clone()).expect("not durable");
    let fast = GrantStore::new(fixture.store.shared(), keys).expect("not durable");
    let first = fixture.of(slow, fixture.provider.clone(), config(Rotation::SingleUse));
    let second = fixture.of(fast, fixture.provider.clone(), config(Rotation::SingleUse));
    let response = fixture.provider.log_in("carol");
    first.create(id, TokenSet::from_login(response, &ScopeSet::default(), fixture.clock.now())).await.expect("created");
    pass(301).await;
    fixture.provider.set_latency(Duration::from_millis(11_900));
    ailing.set_fault(SLOW);
    let callers = ask(&first.upstream(id), 1);
    pass(1).await;
    let others = ask(&second.upstream(id), 1);
    assert_eq!(all(others).await, 1);
    drop(callers);
    pass(60).await;
    assert_eq!((fixture.provider.most_presented(), fixture.provider.is_alive("carol")), (1, true));
}

#[tokio::test(start_paused = true)]
async fn shutdown_does_not_wait_for_a_sweep_that_hangs() {
    let fixture = Fixture::new().await;
    let ailing = Ailing::of(&fixture);
    ailing.set_fault(SWEEPING_HANGS);
    let grants = GrantStore::new(ailing.store(), KeyRing::ephemeral()).expect("not durable");
    let refresher = fixture.of(grants, fixture.provider.clone(), config(Rotation::SingleUse));
    // The sweep has started, and has not timed out.
    tokio::time::sleep(Duration::from_secs(664)).await;
    let begun = Instant::now();
    refresher.shutdown().await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn shutdown_does_not_wait_for_the_lease_of_another_process() {
    let fixture = Fixture::new().await;
    pass(301).await;
    assert!(matches!(
        fixture.store.lease(GrantStore::key(GRANT), Duration::from_secs(30)).await,
        Ok(LeaseOutcome::Acquired(_))
    ));
    let callers = ask(&fixture.upstream(), 3);
    pass(1).await;
    let begun = Instant::now();
    fixture.refresher.shutdown().await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    for caller in callers {
        assert!(caller.await.expect("no panic").expect_err("no token").is_transient());
    }
    assert_eq!(fixture.provider.requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_panics_is_a_failed_refresh() {
    let fixture = Fixture::new().await;
    let (ailing, id) = (Ailing::of(&fixture), GrantId::from_bytes([8; 16]));
    let grants = GrantStore::new(ailing.store(), KeyRing::ephemeral()).expect("not durable");
    let refresher = fixture.of(grants, fixture.provider.clone(), config(Rotation::SingleUse));
    let response = fixture.provider.log_in("eve");
    refresher
        .create(id, TokenSet::from_login(response, &ScopeSet::default(), fixture.clock.now()))
        .await
        .expect("created");
    pass(301).await;
    ailing.set_fault(READING_PANICS);
    assert!(refresher.upstream(id).access_token().await.expect_err("failed").is_transient());
    ailing.set_fault(WELL);
    let begun = Instant::now();
    assert!(refresher.upstream(id).access_token().await.is_err(), "the grant cools down");
    assert_eq!(begun.elapsed(), Duration::ZERO);
    pass(25).await;
    assert_eq!(all(ask(&refresher.upstream(id), 3)).await, 1);
}
