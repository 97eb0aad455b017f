//! G5: new tokens are durable before anybody sees them; if they cannot be, they are used, and saved later.

use std::time::Duration;

use portcullis_core::Reason;
use portcullis_grants::GrantStore;
use portcullis_oauth::providers::Rotation;
use portcullis_store::{LeaseOutcome, Store as _};

use crate::world::{GRANT, World, all, ask, config, pass};

#[tokio::test(start_paused = true)]
async fn g_05_no_caller_sees_a_token_that_is_not_saved() {
    let world = World::new().await;
    pass(301).await;
    let callers = ask(&world.upstream(), 10);
    for caller in callers {
        assert!(caller.await.expect("no panic").is_ok());
        assert_eq!(world.stored().await, Some(1));
    }
}

#[tokio::test(start_paused = true)]
async fn g_05_what_cannot_be_saved_is_used_and_saved_later_and_never_exchanged_again() {
    let world = World::new().await;
    pass(301).await;
    world.store.refuse_writes(true);
    assert_eq!(all(ask(&world.upstream(), 100)).await, 1);
    pass(30).await;
    assert_eq!(all(ask(&world.upstream(), 100)).await, 1);
    assert_eq!((world.provider.exchanges(), world.stored().await), (1, Some(0)));
    assert!(world.store.swaps() > 2, "it is tried again");
    world.store.refuse_writes(false);
    pass(2).await;
    assert_eq!(world.stored().await, Some(1));
    assert_eq!((world.provider.exchanges(), world.provider.most_presented()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn g_05_the_next_exchange_begins_from_what_could_not_be_saved() {
    let world = World::new().await;
    pass(301).await;
    world.store.refuse_writes(true);
    assert_eq!(all(ask(&world.upstream(), 10)).await, 1);
    pass(301).await;
    assert_eq!(all(ask(&world.upstream(), 10)).await, 2);
    world.store.refuse_writes(false);
    pass(2).await;
    pass(2).await;
    assert_eq!(world.stored().await, Some(2));
    assert_eq!((world.provider.most_presented(), world.provider.is_alive("alice")), (1, true));
}

#[tokio::test(start_paused = true)]
async fn g_05_a_store_that_hangs_does_not_block_callers_for_ever() {
    let world = World::new().await;
    pass(301).await;
    world.store.hang(true);
    let begun = tokio::time::Instant::now();
    assert_eq!(all(ask(&world.upstream(), 10)).await, 1);
    assert!(begun.elapsed() <= Duration::from_secs(11), "{:?}", begun.elapsed());
    world.store.hang(false);
    pass(12).await;
    assert_eq!(world.stored().await, Some(1));
}

#[tokio::test(start_paused = true)]
async fn g_05_shutdown_tries_once_more_and_says_what_is_lost() {
    for heals in [true, false] {
        let world = World::new().await;
        pass(301).await;
        world.store.refuse_writes(true);
        assert_eq!(all(ask(&world.upstream(), 10)).await, 1);
        world.store.refuse_writes(!heals);
        assert_eq!(world.refresher.shutdown().await, usize::from(!heals));
        assert_eq!(world.stored().await, Some(u64::from(heals)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_has_just_begun_is_in_the_store_and_in_the_memory() {
    let world = World::new().await;
    let id = portcullis_core::GrantId::from_bytes([9; 16]);
    let clock: &dyn portcullis_core::Clock = &world.clock;
    let tokens = || {
        let response = world.provider.log_in("bob");
        portcullis_grants::TokenSet::from_login(response, &portcullis_core::ScopeSet::default(), clock.now())
    };
    world.refresher.create(id, tokens()).await.expect("new");
    assert!(world.refresher.create(id, tokens()).await.is_err(), "there is one of this id");
    world.store.refuse_reads(true);
    assert_eq!(all(ask(&world.refresher.upstream(id), 10)).await, 0, "nobody has to look");
    world.store.refuse_reads(false);
    let another = world.another(config(Rotation::SingleUse));
    assert_eq!(all(ask(&another.upstream(id), 10)).await, 0);
    let unknown = another.upstream(portcullis_core::GrantId::from_bytes([1; 16])).access_token().await;
    assert_eq!(unknown.expect_err("unknown").reason(), Reason::GrantEnded);
}

#[tokio::test(start_paused = true)]
async fn what_is_saved_later_gives_the_grant_back() {
    let world = World::new().await;
    pass(301).await;
    world.store.refuse_writes(true);
    assert_eq!(all(ask(&world.upstream(), 1)).await, 1);
    pass(40).await;
    assert!(
        matches!(world.store.lease(GrantStore::key(GRANT), Duration::from_secs(20)).await, Ok(LeaseOutcome::Held)),
        "until it is saved"
    );
    world.store.refuse_writes(false);
    pass(3).await;
    let lease = world.store.lease(GrantStore::key(GRANT), Duration::from_secs(20)).await.expect("a lease");
    assert!(matches!(lease, LeaseOutcome::Acquired(lease) if !lease.after_abandoned), "{lease:?}");
    let LeaseOutcome::Acquired(lease) = lease else { unreachable!("it was acquired") };
    world.store.release(GrantStore::key(GRANT), lease).await.expect("given back");
    pass(215).await;
    assert_eq!(all(ask(&world.upstream(), 1)).await, 1);
    pass(1).await;
    assert_eq!(all(ask(&world.upstream(), 1)).await, 2, "and the next one is renewed ahead of its end");
}
