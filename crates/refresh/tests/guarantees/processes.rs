//! G9 and G10: several processes with one store.

use std::{sync::Arc, time::Duration};

use portcullis_core::{Clock as _, Reason};
use portcullis_oauth::providers::Rotation;
use portcullis_refresh::{GrantRecord, GrantStore};
use portcullis_store::{LeaseOutcome, Store as _};

use crate::{
    fixture::{Fixture, GRANT, all, ask, config, issuer, pass, report},
    provider::Act,
};

#[tokio::test(start_paused = true)]
async fn g_10_ten_processes_cause_one_refresh() {
    let fixture = Fixture::new().await;
    let processes: Vec<_> = (0..10).map(|_| fixture.another(config(Rotation::SingleUse))).collect();
    pass(301).await;
    let callers = processes.iter().flat_map(|process| ask(&process.upstream(GRANT), 10)).collect();
    assert_eq!(all(callers).await, 1);
    assert_eq!(fixture.provider.requests(), 1);
    // All processes report the same token.
    let token = processes[0].upstream(GRANT).access_token().await.expect("token");
    let callers = processes.iter().flat_map(|process| report(&process.upstream(GRANT), &token, 10)).collect();
    assert_eq!(all(callers).await, 2);
    assert_eq!((fixture.provider.requests(), fixture.provider.is_alive("alice")), (2, true));
}

#[tokio::test(start_paused = true)]
async fn g_10_a_report_of_a_generation_that_this_process_does_not_have() {
    let fixture = Fixture::new().await;
    let another = fixture.another(config(Rotation::SingleUse));
    let old = another.upstream(GRANT).access_token().await.expect("token");
    let new = fixture.upstream().rejected(&old).await.expect("renewed");
    pass(60).await;
    // The other process still has the old token.
    assert_eq!(all(report(&another.upstream(GRANT), &new, 5)).await, 2);
    assert_eq!(all(report(&fixture.upstream(), &old, 5)).await, 1);
    assert_eq!(all(report(&fixture.upstream(), &new, 5)).await, 2);
    assert_eq!((fixture.provider.requests(), fixture.provider.most_presented()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn g_10_a_process_that_died_during_a_refresh_blocks_the_grant_only_for_its_lease() {
    let fixture = Fixture::new().await;
    assert!(matches!(
        fixture.store.lease(GrantStore::key(GRANT), Duration::from_secs(20)).await,
        Ok(LeaseOutcome::Acquired(_))
    ));
    pass(301).await;
    assert!(matches!(
        fixture.store.lease(GrantStore::key(GRANT), Duration::from_secs(20)).await,
        Ok(LeaseOutcome::Acquired(_))
    ));
    let begun = tokio::time::Instant::now();
    assert_eq!(all(ask(&fixture.upstream(), 100)).await, 1);
    assert!(begun.elapsed() > Duration::from_secs(19) && begun.elapsed() < Duration::from_secs(22));
    assert_eq!(fixture.provider.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn g_10_after_a_process_died_its_refresh_token_is_not_presented_while_the_access_token_works() {
    for (rotation, exchanges) in [(Rotation::SingleUse, 0), (Rotation::Reusable, 1)] {
        let fixture = Fixture::with(config(rotation)).await;
        drop(fixture.tokens().await.expect("fresh"));
        pass(200).await;
        assert!(matches!(
            fixture.store.lease(GrantStore::key(GRANT), Duration::from_secs(20)).await,
            Ok(LeaseOutcome::Acquired(_))
        ));
        pass(60).await;
        assert_eq!(all(ask(&fixture.upstream(), 10)).await, 0);
        pass(1).await;
        assert_eq!(all(ask(&fixture.upstream(), 10)).await, exchanges);
        assert_eq!(fixture.provider.requests() as u64, exchanges, "{rotation:?}");
        pass(60).await;
        assert_eq!(all(ask(&fixture.upstream(), 10)).await, 1, "and presented after it has expired");
    }
}

#[tokio::test(start_paused = true)]
async fn g_10_a_refresh_token_that_one_process_may_have_spent_is_deferred_by_all() {
    let fixture = Fixture::new().await;
    drop(fixture.tokens().await.expect("fresh"));
    pass(260).await;
    fixture.provider.next(Act::LoseAnswer);
    assert_eq!(all(ask(&fixture.upstream(), 10)).await, 0);
    pass(1).await;
    assert_eq!((fixture.provider.requests(), fixture.provider.most_presented()), (1, 1));
    for _ in 0..3 {
        let another = fixture.another(config(Rotation::SingleUse));
        for _ in 0..3 {
            assert_eq!(all(ask(&another.upstream(GRANT), 10)).await, 0);
            pass(1).await;
        }
    }
    assert_eq!(fixture.provider.most_presented(), 1);
    pass(60).await;
    let another = fixture.another(config(Rotation::SingleUse));
    assert_eq!(another.upstream(GRANT).access_token().await.expect_err("spent").reason(), Reason::GrantEnded);
    assert_eq!(fixture.provider.most_presented(), 2, "and presented after it has expired");
}

#[tokio::test(start_paused = true)]
async fn g_09_a_grant_that_another_process_has_renewed_is_not_removed() {
    let fixture = Fixture::new().await;
    pass(301).await;
    fixture.provider.next(Act::Refuse);
    let caller = ask(&fixture.upstream(), 1);
    tokio::time::sleep(Duration::from_millis(10)).await;
    // Meanwhile a process without the lease writes new tokens.
    let stored = fixture.grants.load(GRANT).await.expect("readable").expect("stored");
    assert!(fixture.grants.remove(GRANT, stored.version).await.expect("removed"));
    let renewed = stored.record.tokens().refreshed(fixture.provider.log_in("alice"), fixture.clock.now());
    fixture.grants.create(GRANT, &GrantRecord::new(issuer(), Arc::new(renewed))).await.expect("created");
    assert_eq!(all(caller).await, 1, "its tokens are adopted");
    assert_eq!(fixture.stored().await, Some(1));
}

#[tokio::test(start_paused = true)]
async fn g_10_a_lost_lease_loses_no_tokens() {
    // The store states that another process holds the lease; the row has not changed.
    let config = config(Rotation::SingleUse).with_refresh_timeout(Duration::from_secs(60));
    let fixture = Fixture::with(config).await;
    pass(301).await;
    fixture.provider.set_latency(Duration::from_secs(50));
    let caller = ask(&fixture.upstream(), 1);
    pass(1).await;
    // The clock of the store jumps ahead, so the lease expires although it is renewed in time.
    fixture.clock.advance(Duration::from_secs(1000));
    assert!(matches!(
        fixture.store.lease(GrantStore::key(GRANT), Duration::from_secs(500)).await,
        Ok(LeaseOutcome::Acquired(_))
    ));
    pass(60).await;
    assert_eq!(all(caller).await, 1);
    assert_eq!(fixture.stored().await, Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_grant_of_another_provider_is_never_presented_to_this_one() {
    let fixture = Fixture::new().await;
    let elsewhere = portcullis_core::Issuer::new("https://elsewhere.example").expect("issuer");
    let elsewhere = portcullis_refresh::Refresher::new(
        fixture.grants.clone(),
        fixture.provider.clone(),
        portcullis_refresh::RefresherConfig::new(elsewhere, "test", Rotation::SingleUse)
            .with_clock(Arc::new(fixture.clock.clone())),
    );
    pass(301).await;
    let error = elsewhere.upstream(GRANT).access_token().await.expect_err("of another provider");
    assert_eq!(error.reason(), Reason::GrantEnded);
    assert_eq!((fixture.provider.requests(), fixture.stored().await), (0, Some(0)));
}

#[tokio::test(start_paused = true)]
async fn g_10_a_lease_lasts_as_long_as_its_refresh() {
    let fixture = Fixture::new().await;
    let another = fixture.another(config(Rotation::SingleUse));
    pass(301).await;
    // The refresh and the store take almost all of their time: longer than a lease without renewal.
    fixture.provider.set_latency(Duration::from_millis(11_900));
    fixture.store.hang(true);
    let first = ask(&fixture.upstream(), 1);
    pass(5).await;
    let second = ask(&another.upstream(GRANT), 1);
    pass(20).await;
    fixture.store.hang(false);
    assert_eq!((all(first).await, all(second).await), (1, 1));
    assert_eq!((fixture.provider.requests(), fixture.provider.is_alive("alice")), (1, true));
}

#[tokio::test(start_paused = true)]
async fn g_10_no_caller_waits_for_ever_for_a_grant_that_another_process_holds() {
    let fixture = Fixture::new().await;
    pass(301).await;
    let (store, ttl) = (fixture.store.clone(), Duration::from_secs(20));
    let keeper = tokio::spawn(async move {
        let Ok(LeaseOutcome::Acquired(lease)) = store.lease(GrantStore::key(GRANT), ttl).await else {
            unreachable!("it was free")
        };
        while store.renew(GrantStore::key(GRANT), lease, ttl).await.is_ok_and(|ours| ours) {
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    });
    tokio::task::yield_now().await;
    let begun = tokio::time::Instant::now();
    let error = fixture.upstream().access_token().await.expect_err("another process holds the lease");
    assert_eq!(error.reason(), Reason::BackingOff);
    assert!(begun.elapsed() < Duration::from_secs(35), "{:?}", begun.elapsed());
    keeper.abort();
    assert_eq!(fixture.provider.requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn g_10_a_rejected_access_token_does_not_defer_the_refresh() {
    let fixture = Fixture::new().await;
    let token = fixture.upstream().access_token().await.expect("fresh");
    assert!(matches!(
        fixture.store.lease(GrantStore::key(GRANT), Duration::from_secs(15)).await,
        Ok(LeaseOutcome::Acquired(_))
    ));
    pass(16).await;
    // The refresh token may be spent, and the access token is dead before its expiry: there is no reason to defer the refresh.
    assert_eq!(all(report(&fixture.upstream(), &token, 10)).await, 1);
}

#[tokio::test(start_paused = true)]
async fn g_10_a_failed_read_does_not_clear_a_possibly_spent_refresh_token() {
    let fixture = Fixture::new().await;
    drop(fixture.tokens().await.expect("fresh"));
    pass(200).await;
    assert!(matches!(
        fixture.store.lease(GrantStore::key(GRANT), Duration::from_secs(20)).await,
        Ok(LeaseOutcome::Acquired(_))
    ));
    pass(60).await;
    fixture.store.refuse_reads(true);
    assert_eq!(all(ask(&fixture.upstream(), 3)).await, 0);
    pass(1).await;
    fixture.store.refuse_reads(false);
    pass(3).await;
    assert_eq!(all(ask(&fixture.upstream(), 3)).await, 0);
    pass(1).await;
    assert_eq!(fixture.provider.requests(), 0, "the refresh is deferred while the access token works");
}
