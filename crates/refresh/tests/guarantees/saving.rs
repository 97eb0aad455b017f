//! G5: new tokens are durable before a caller sees them. If they cannot be saved they are used, and saved later.

use std::time::Duration;

use portcullis_core::Reason;
use portcullis_oauth::providers::Rotation;
use portcullis_refresh::GrantStore;
use portcullis_store::{LeaseOutcome, Store as _};

use crate::fixture::{Fixture, GRANT, all, ask, config, pass};

#[tokio::test(start_paused = true)]
async fn g_05_no_caller_sees_a_token_that_is_not_saved() {
    let fixture = Fixture::new().await;
    pass(301).await;
    let callers = ask(&fixture.upstream(), 10);
    for caller in callers {
        assert!(caller.await.expect("no panic").is_ok());
        assert_eq!(fixture.stored().await, Some(1));
    }
}

#[tokio::test(start_paused = true)]
async fn g_05_tokens_that_cannot_be_saved_are_used_and_saved_later_without_another_refresh() {
    let fixture = Fixture::new().await;
    pass(301).await;
    fixture.store.refuse_writes(true);
    assert_eq!(all(ask(&fixture.upstream(), 100)).await, 1);
    pass(30).await;
    assert_eq!(all(ask(&fixture.upstream(), 100)).await, 1);
    assert_eq!((fixture.provider.requests(), fixture.stored().await), (1, Some(0)));
    assert!(fixture.store.swaps() > 2, "it is tried again");
    fixture.store.refuse_writes(false);
    pass(2).await;
    assert_eq!(fixture.stored().await, Some(1));
    assert_eq!((fixture.provider.requests(), fixture.provider.most_presented()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn g_05_the_next_refresh_presents_the_refresh_token_that_could_not_be_saved() {
    let fixture = Fixture::new().await;
    pass(301).await;
    fixture.store.refuse_writes(true);
    assert_eq!(all(ask(&fixture.upstream(), 10)).await, 1);
    pass(301).await;
    assert_eq!(all(ask(&fixture.upstream(), 10)).await, 2);
    fixture.store.refuse_writes(false);
    pass(2).await;
    pass(2).await;
    assert_eq!(fixture.stored().await, Some(2));
    assert_eq!((fixture.provider.most_presented(), fixture.provider.is_alive("alice")), (1, true));
}

#[tokio::test(start_paused = true)]
async fn g_05_a_store_that_hangs_does_not_block_callers_for_ever() {
    let fixture = Fixture::new().await;
    pass(301).await;
    fixture.store.hang(true);
    let begun = tokio::time::Instant::now();
    assert_eq!(all(ask(&fixture.upstream(), 10)).await, 1);
    assert!(begun.elapsed() <= Duration::from_secs(11), "{:?}", begun.elapsed());
    fixture.store.hang(false);
    pass(12).await;
    assert_eq!(fixture.stored().await, Some(1));
}

#[tokio::test(start_paused = true)]
async fn g_05_shutdown_saves_once_more_and_returns_what_is_lost() {
    for heals in [true, false] {
        let fixture = Fixture::new().await;
        pass(301).await;
        fixture.store.refuse_writes(true);
        assert_eq!(all(ask(&fixture.upstream(), 10)).await, 1);
        fixture.store.refuse_writes(!heals);
        assert_eq!(fixture.refresher.shutdown().await, usize::from(!heals));
        assert_eq!(fixture.stored().await, Some(u64::from(heals)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_grant_is_in_the_store_and_in_the_process() {
    let fixture = Fixture::new().await;
    let id = portcullis_core::GrantId::from_bytes([9; 16]);
    let clock: &dyn portcullis_core::Clock = &fixture.clock;
    let tokens = || {
        let response = fixture.provider.log_in("bob");
        portcullis_refresh::TokenSet::from_login(response, &portcullis_core::ScopeSet::default(), clock.now())
    };
    fixture.refresher.create(id, tokens()).await.expect("new");
    assert!(fixture.refresher.create(id, tokens()).await.is_err(), "there is one of this id");
    fixture.store.refuse_reads(true);
    assert_eq!(all(ask(&fixture.refresher.upstream(id), 10)).await, 0, "no caller has to read the store");
    fixture.store.refuse_reads(false);
    let another = fixture.another(config(Rotation::SingleUse));
    assert_eq!(all(ask(&another.upstream(id), 10)).await, 0);
    let unknown = another.upstream(portcullis_core::GrantId::from_bytes([1; 16])).access_token().await;
    assert_eq!(unknown.expect_err("unknown").reason(), Reason::GrantEnded);
}

#[tokio::test(start_paused = true)]
async fn a_late_save_releases_the_lease() {
    let fixture = Fixture::new().await;
    pass(301).await;
    fixture.store.refuse_writes(true);
    assert_eq!(all(ask(&fixture.upstream(), 1)).await, 1);
    pass(40).await;
    assert!(
        matches!(fixture.store.lease(GrantStore::key(GRANT), Duration::from_secs(20)).await, Ok(LeaseOutcome::Held)),
        "until it is saved"
    );
    fixture.store.refuse_writes(false);
    pass(3).await;
    let lease = fixture.store.lease(GrantStore::key(GRANT), Duration::from_secs(20)).await.expect("a lease");
    assert!(matches!(lease, LeaseOutcome::Acquired(lease) if !lease.after_abandoned), "{lease:?}");
    let LeaseOutcome::Acquired(lease) = lease else { unreachable!("it was acquired") };
    fixture.store.release(GrantStore::key(GRANT), lease).await.expect("given back");
    pass(215).await;
    assert_eq!(all(ask(&fixture.upstream(), 1)).await, 1);
    pass(1).await;
    assert_eq!(all(ask(&fixture.upstream(), 1)).await, 2, "and the next one is renewed ahead of its end");
}
