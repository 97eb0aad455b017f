//! G9 and G10: several processes with one store.

use std::{sync::Arc, time::Duration};

use portcullis_core::{Clock as _, Reason};
use portcullis_grants::{GrantRecord, GrantStore};
use portcullis_oauth::providers::Rotation;
use portcullis_store::{LeaseOutcome, Store as _};

use crate::{
    provider::Act,
    world::{GRANT, World, all, ask, config, issuer, pass, report},
};

#[tokio::test(start_paused = true)]
async fn g_10_one_exchange_for_ten_processes() {
    let world = World::new().await;
    let processes: Vec<_> = (0..10).map(|_| world.another(config(Rotation::SingleUse))).collect();
    pass(301).await;
    let callers = processes.iter().flat_map(|process| ask(&process.upstream(GRANT), 10)).collect();
    assert_eq!(all(callers).await, 1);
    assert_eq!(world.provider.exchanges(), 1);
    // And of a token that all of them have found refused.
    let token = processes[0].upstream(GRANT).access_token().await.expect("token");
    let callers = processes.iter().flat_map(|process| report(&process.upstream(GRANT), &token, 10)).collect();
    assert_eq!(all(callers).await, 2);
    assert_eq!((world.provider.exchanges(), world.provider.is_alive("alice")), (2, true));
}

#[tokio::test(start_paused = true)]
async fn g_10_a_report_of_a_token_that_this_process_has_not_heard_of() {
    let world = World::new().await;
    let another = world.another(config(Rotation::SingleUse));
    let old = another.upstream(GRANT).access_token().await.expect("token");
    let new = world.upstream().rejected(&old).await.expect("renewed");
    pass(60).await;
    // The other process still has the old one.
    assert_eq!(all(report(&another.upstream(GRANT), &new, 5)).await, 2);
    assert_eq!(all(report(&world.upstream(), &old, 5)).await, 1);
    assert_eq!(all(report(&world.upstream(), &new, 5)).await, 2);
    assert_eq!((world.provider.exchanges(), world.provider.most_presented()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn g_10_a_process_that_died_in_the_middle_holds_a_grant_up_only_for_the_lease() {
    let world = World::new().await;
    assert!(matches!(
        world.store.lease(GrantStore::key(GRANT), Duration::from_secs(20)).await,
        Ok(LeaseOutcome::Acquired(_))
    ));
    pass(301).await;
    assert!(matches!(
        world.store.lease(GrantStore::key(GRANT), Duration::from_secs(20)).await,
        Ok(LeaseOutcome::Acquired(_))
    ));
    let begun = tokio::time::Instant::now();
    assert_eq!(all(ask(&world.upstream(), 100)).await, 1);
    assert!(begun.elapsed() > Duration::from_secs(19) && begun.elapsed() < Duration::from_secs(22));
    assert_eq!(world.provider.exchanges(), 1);
}

#[tokio::test(start_paused = true)]
async fn g_10_after_a_process_that_died_the_token_is_spared_while_there_is_another_way() {
    for (rotation, exchanges) in [(Rotation::SingleUse, 0), (Rotation::Reusable, 1)] {
        let world = World::with(config(rotation)).await;
        drop(world.tokens().await.expect("fresh"));
        pass(200).await;
        assert!(matches!(
            world.store.lease(GrantStore::key(GRANT), Duration::from_secs(20)).await,
            Ok(LeaseOutcome::Acquired(_))
        ));
        pass(60).await;
        assert_eq!(all(ask(&world.upstream(), 10)).await, 0);
        pass(1).await;
        assert_eq!(all(ask(&world.upstream(), 10)).await, exchanges);
        assert_eq!(world.provider.exchanges() as u64, exchanges, "{rotation:?}");
        pass(60).await;
        assert_eq!(all(ask(&world.upstream(), 10)).await, 1, "and presented when it has expired");
    }
}

#[tokio::test(start_paused = true)]
async fn g_10_a_token_that_one_process_may_have_spent_is_spared_by_all() {
    let world = World::new().await;
    drop(world.tokens().await.expect("fresh"));
    pass(260).await;
    world.provider.next(Act::LoseAnswer);
    assert_eq!(all(ask(&world.upstream(), 10)).await, 0);
    pass(1).await;
    assert_eq!((world.provider.exchanges(), world.provider.most_presented()), (1, 1));
    for _ in 0..3 {
        let another = world.another(config(Rotation::SingleUse));
        for _ in 0..3 {
            assert_eq!(all(ask(&another.upstream(GRANT), 10)).await, 0);
            pass(1).await;
        }
    }
    assert_eq!(world.provider.most_presented(), 1);
    pass(60).await;
    let another = world.another(config(Rotation::SingleUse));
    assert_eq!(another.upstream(GRANT).access_token().await.expect_err("spent").reason(), Reason::GrantEnded);
    assert_eq!(world.provider.most_presented(), 2, "and presented when it has expired");
}

#[tokio::test(start_paused = true)]
async fn g_09_a_grant_that_another_process_has_renewed_is_not_removed() {
    let world = World::new().await;
    pass(301).await;
    world.provider.next(Act::Refuse);
    let caller = ask(&world.upstream(), 1);
    tokio::time::sleep(Duration::from_millis(10)).await;
    // Somebody who knows nothing of leases brings new tokens meanwhile.
    let kept = world.vault.load(GRANT).await.expect("readable").expect("kept");
    assert!(world.vault.remove(GRANT, kept.version).await.expect("removed"));
    let renewed = kept.record.tokens().refreshed(world.provider.log_in("alice"), world.clock.now());
    world.vault.create(GRANT, &GrantRecord::new(issuer(), Arc::new(renewed))).await.expect("created");
    assert_eq!(all(caller).await, 1, "its tokens are adopted");
    assert_eq!(world.stored().await, Some(1));
}

#[tokio::test(start_paused = true)]
async fn g_10_a_lost_lease_loses_no_tokens() {
    // The store says that the lease is somebody else's by now; the row is as it was.
    let config = config(Rotation::SingleUse).with_refresh_timeout(Duration::from_secs(60));
    let world = World::with(config).await;
    pass(301).await;
    world.provider.set_latency(Duration::from_secs(50));
    let caller = ask(&world.upstream(), 1);
    pass(1).await;
    // The clock of the store jumps ahead, so the lease is over although it is renewed in time.
    world.clock.advance(Duration::from_secs(1000));
    assert!(matches!(
        world.store.lease(GrantStore::key(GRANT), Duration::from_secs(500)).await,
        Ok(LeaseOutcome::Acquired(_))
    ));
    pass(60).await;
    assert_eq!(all(caller).await, 1);
    assert_eq!(world.stored().await, Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_grant_of_another_provider_is_never_presented_here() {
    let world = World::new().await;
    let elsewhere = portcullis_core::Issuer::new("https://elsewhere.example").expect("issuer");
    let elsewhere = portcullis_grants::Refresher::new(
        world.vault.clone(),
        world.provider.clone(),
        portcullis_grants::RefresherConfig::new(elsewhere, "test", Rotation::SingleUse)
            .with_clock(Arc::new(world.clock.clone())),
    );
    pass(301).await;
    let error = elsewhere.upstream(GRANT).access_token().await.expect_err("of another provider");
    assert_eq!(error.reason(), Reason::GrantEnded);
    assert_eq!((world.provider.exchanges(), world.stored().await), (0, Some(0)));
}

#[tokio::test(start_paused = true)]
async fn g_10_a_grant_stays_reserved_for_as_long_as_its_refresh_takes() {
    let world = World::new().await;
    let another = world.another(config(Rotation::SingleUse));
    pass(301).await;
    // The exchange takes almost all of its time, and so does the store: longer than a lease that nobody renews.
    world.provider.set_latency(Duration::from_millis(11_900));
    world.store.hang(true);
    let first = ask(&world.upstream(), 1);
    pass(5).await;
    let second = ask(&another.upstream(GRANT), 1);
    pass(20).await;
    world.store.hang(false);
    assert_eq!((all(first).await, all(second).await), (1, 1));
    assert_eq!((world.provider.exchanges(), world.provider.is_alive("alice")), (1, true));
}

#[tokio::test(start_paused = true)]
async fn g_10_no_caller_waits_for_ever_for_a_grant_that_another_process_holds() {
    let world = World::new().await;
    pass(301).await;
    let (store, ttl) = (world.store.clone(), Duration::from_secs(20));
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
    let error = world.upstream().access_token().await.expect_err("kept by another");
    assert_eq!(error.reason(), Reason::BackingOff);
    assert!(begun.elapsed() < Duration::from_secs(35), "{:?}", begun.elapsed());
    keeper.abort();
    assert_eq!(world.provider.exchanges(), 0);
}

#[tokio::test(start_paused = true)]
async fn g_10_a_refused_token_is_no_other_way() {
    let world = World::new().await;
    let token = world.upstream().access_token().await.expect("fresh");
    assert!(matches!(
        world.store.lease(GrantStore::key(GRANT), Duration::from_secs(15)).await,
        Ok(LeaseOutcome::Acquired(_))
    ));
    pass(16).await;
    // The refresh token may be spent, and the access token is dead although its time is not over: there is nothing to spare it for.
    assert_eq!(all(report(&world.upstream(), &token, 10)).await, 1);
}

#[tokio::test(start_paused = true)]
async fn g_10_a_look_that_fails_does_not_make_a_doubtful_refresh_token_good() {
    let world = World::new().await;
    drop(world.tokens().await.expect("fresh"));
    pass(200).await;
    assert!(matches!(
        world.store.lease(GrantStore::key(GRANT), Duration::from_secs(20)).await,
        Ok(LeaseOutcome::Acquired(_))
    ));
    pass(60).await;
    world.store.refuse_reads(true);
    assert_eq!(all(ask(&world.upstream(), 3)).await, 0);
    pass(1).await;
    world.store.refuse_reads(false);
    pass(3).await;
    assert_eq!(all(ask(&world.upstream(), 3)).await, 0);
    pass(1).await;
    assert_eq!(world.provider.exchanges(), 0, "it is spared as long as the access token works");
}
