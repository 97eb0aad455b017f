//! Processes that share a store receive each other's invalidations.

use std::{
    fs,
    future::pending,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use portcullis_bridge::{Bridge, BridgeVerifier};
use portcullis_core::{AuthError, BearerToken, Clock, Issuer, Reason, UserContext};
use portcullis_store::{
    KeyRing, MemoryStore, SealedStore, Store, StoreFuture,
    conformance::{Call, FaultyStore},
};
use portcullis_store_sqlite::{SqliteConfig, SqliteStore};
use portcullis_test_support::Answer;
use portcullis_testkit::{IdentityProvider, TestClock};
use portcullis_verify::{Cache, CacheConfig, CacheLayer};
use tokio::time::{Instant, sleep};
use tower::{Layer as _, ServiceExt as _};

use crate::fixture::Fixture;

const SECOND: Duration = Duration::from_secs(1);

fn sealed(store: Arc<dyn Store>) -> SealedStore {
    SealedStore::new(store, KeyRing::new([&[7; 32]]).expect("a key")).expect("the key is durable")
}

fn cached(bridge: &Bridge, fixture: &Fixture) -> Cache<BridgeVerifier> {
    CacheLayer::new(CacheConfig::new().with_clock(Arc::new(fixture.clock.clone()))).layer(bridge.verifier())
}

async fn verify(cache: &Cache<BridgeVerifier>, token: &str) -> Result<Arc<UserContext>, AuthError> {
    cache.clone().oneshot(BearerToken::new(token).expect("a token")).await
}

/// A session that ends in the first process ends in the second within a second, although its context is cached there; another session
/// goes on.
async fn a_session_ends_in_both_processes(first: SealedStore, second: SealedStore) {
    let fixture = Fixture::new().await.in_store(first);
    let other = fixture.another_in(second);
    let (here, there) = (cached(&fixture.bridge, &fixture), cached(&other, &fixture));
    let bystander = fixture.asserted().await;
    let answer = fixture.log_in().await;
    for cache in [&here, &there] {
        let user = verify(cache, answer.access_token()).await.expect("a user");
        assert!(Arc::ptr_eq(&user, &verify(cache, answer.access_token()).await.expect("a user")), "it is cached");
    }
    let unharmed = verify(&there, bystander.access_token()).await.expect("a user");

    let ended = Instant::now();
    assert_eq!(fixture.app().await.revoke(answer.refresh_token()).await.expect("a response").status(), 200);
    while verify(&there, answer.access_token()).await.is_ok() {
        assert!(ended.elapsed() < SECOND, "the other process has not heard of it");
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(verify(&there, answer.access_token()).await.expect_err("ended").reason(), Reason::Inactive);
    assert!(!unharmed.revocation().is_revoked(), "another session");

    // And in the other direction.
    let answer = fixture.log_in().await;
    let user = verify(&here, answer.access_token()).await.expect("a user");
    let issuer: Issuer = IdentityProvider::ISSUER.parse().expect("issuer");
    let ended = Instant::now();
    other.end_sessions_of(&issuer, "alice").await.expect("the store");
    while !user.revocation().is_revoked() {
        assert!(ended.elapsed() < SECOND, "the first process has not heard of it");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_ends_in_one_process_is_rejected_in_the_other_within_a_second() {
    let rows = MemoryStore::new().with_clock(Arc::new(TestClock::new()));
    let shared = || sealed(Arc::new(FaultyStore::new(rows.clone(), |_| FaultyStore::pass()).claim_durable()));
    a_session_ends_in_both_processes(shared(), shared()).await;
}

/// Returns a store on `rows` in which the calls number `0..` of [`Call::ReadEvents`] take or fail as `read` says.
fn reading(
    rows: &MemoryStore,
    read: impl Fn(usize) -> StoreFuture<'static, ()> + Send + Sync + 'static,
) -> SealedStore {
    let reads = AtomicUsize::new(0);
    let hook = move |call| match call {
        Call::ReadEvents => read(reads.fetch_add(1, Relaxed)),
        _ => FaultyStore::pass(),
    };
    sealed(Arc::new(FaultyStore::new(rows.clone(), hook).claim_durable()))
}

/// A process that logs a user in, and the tokens.
async fn logged_in(rows: &MemoryStore) -> (Fixture, Answer) {
    let fixture = Fixture::new().await.in_store(reading(rows, |_| FaultyStore::pass()));
    let answer = fixture.log_in().await;
    (fixture, answer)
}

fn rows() -> MemoryStore {
    MemoryStore::new().with_clock(Arc::new(TestClock::new()))
}

/// A process that starts reads the position of the feed before it creates a context: a session that ends meanwhile is rejected.
#[tokio::test(start_paused = true)]
async fn a_session_that_ends_while_another_process_starts_is_rejected_there() {
    let rows = rows();
    let (fixture, answer) = logged_in(&rows).await;
    let delayed = |_| -> StoreFuture<'static, ()> {
        Box::pin(async {
            sleep(Duration::from_millis(100)).await;
            Ok(())
        })
    };
    let there = cached(&fixture.another_in(reading(&rows, delayed)), &fixture);
    let end = async {
        sleep(Duration::from_millis(50)).await;
        fixture.app().await.revoke(answer.refresh_token()).await.expect("a response");
    };
    let (_, ()) = tokio::join!(verify(&there, answer.access_token()), end);
    sleep(SECOND).await;
    assert_eq!(verify(&there, answer.access_token()).await.expect_err("ended").reason(), Reason::Inactive);
}

/// Beginning to read invalidates no context.
#[tokio::test(start_paused = true)]
async fn a_context_that_a_process_creates_right_after_its_start_stays_valid() {
    let rows = rows();
    let (fixture, answer) = logged_in(&rows).await;
    let started = fixture.another_in(reading(&rows, |_| FaultyStore::pass()));
    let user = verify(&cached(&started, &fixture), answer.access_token()).await.expect("a user");
    sleep(2 * SECOND).await;
    assert!(!user.revocation().is_revoked(), "no session has ended");
}

/// If the position cannot be read at first, contexts are created nevertheless, and invalidated once it can be read.
#[tokio::test(start_paused = true)]
async fn contexts_from_before_the_first_successful_read_are_invalidated() {
    let rows = rows();
    let (fixture, answer) = logged_in(&rows).await;
    let fails = |number| if number == 0 { FaultyStore::fail("a test") } else { FaultyStore::pass() };
    let there = cached(&fixture.another_in(reading(&rows, fails)), &fixture);
    let user = verify(&there, answer.access_token()).await.expect("a user");
    assert!(!user.revocation().is_revoked());
    sleep(SECOND).await;
    assert!(user.revocation().is_revoked(), "its session may have ended unnoticed");
    verify(&there, answer.access_token()).await.expect("the session has not ended");
}

/// A process that has missed events invalidates every context.
#[tokio::test(start_paused = true)]
async fn an_event_that_does_not_open_invalidates_every_context() {
    let rows = rows();
    let (fixture, answer) = logged_in(&rows).await;
    let there = cached(&fixture.another_in(reading(&rows, |_| FaultyStore::pass())), &fixture);
    let user = verify(&there, answer.access_token()).await.expect("a user");
    rows.append_event(Bytes::from_static(b"sealed with a key that is not on the ring")).await.expect("the store");
    sleep(SECOND).await;
    assert!(user.revocation().is_revoked());
    verify(&there, answer.access_token()).await.expect("the session has not ended");
}

/// After failures of the store, reading continues at the last position.
#[tokio::test(start_paused = true)]
async fn an_event_that_was_appended_while_the_feed_could_not_be_read_is_applied_later() {
    let rows = rows();
    let (fixture, answer) = logged_in(&rows).await;
    let fails = |number| if (1..5).contains(&number) { FaultyStore::fail("a test") } else { FaultyStore::pass() };
    let there = cached(&fixture.another_in(reading(&rows, fails)), &fixture);
    verify(&there, answer.access_token()).await.expect("a user");
    fixture.app().await.revoke(answer.refresh_token()).await.expect("a response");
    sleep(10 * SECOND).await;
    assert_eq!(verify(&there, answer.access_token()).await.expect_err("ended").reason(), Reason::Inactive);
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_on_one_file_hear_of_each_others_ended_sessions_within_a_second() {
    let folder = std::env::temp_dir().join(format!("portcullis-feed-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let clock: Arc<dyn Clock> = Arc::new(TestClock::new());
    let open = async |path: &Path| {
        SqliteStore::open(SqliteConfig::new(path).with_clock(Arc::clone(&clock))).await.expect("a store")
    };
    let database = folder.join("portcullis.db");
    let (first, second) = (open(&database).await, open(&database).await);
    a_session_ends_in_both_processes(sealed(Arc::new(first)), sealed(Arc::new(second))).await;
    fs::remove_dir_all(&folder).expect("removed");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_session_waits_for_a_store_that_hangs_for_five_seconds_in_all() {
    const ANY: usize = usize::MAX;
    for (calls, is_stored) in [(0, false), (1, false), (2, true)] {
        let fixture = Fixture::new().await;
        let rows = MemoryStore::new().with_clock(Arc::new(fixture.clock.clone()));
        let left = Arc::new(AtomicUsize::new(ANY));
        let counted = Arc::clone(&left);
        // Returns from `left` further loads and writes, and then from no call.
        let store = FaultyStore::new(rows, move |call| {
            let hangs = match (counted.load(Relaxed), call) {
                (ANY, _) => false,
                (1.., Call::Load(_) | Call::Swap(_)) => counted.fetch_sub(1, Relaxed) == 0,
                _ => true,
            };
            if hangs { Box::pin(pending()) } else { FaultyStore::pass() }
        });
        let fixture = fixture.in_store(sealed(Arc::new(store.claim_durable())));
        let answer = fixture.log_in().await;
        let user = fixture.verify(answer.access_token()).await.expect("a user");
        let session = user.upstream().grant().expect("a grant");
        left.store(calls, Relaxed);
        let before = Instant::now();
        let ended = fixture.bridge.end(session).await;
        assert_eq!(ended.is_ok(), is_stored, "{ended:?}");
        assert!(before.elapsed() <= SECOND * 6, "{:?}", before.elapsed());
        assert!(user.revocation().is_revoked(), "in this process immediately");
    }
}
