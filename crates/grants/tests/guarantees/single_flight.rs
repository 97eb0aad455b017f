//! G1 to G4 and G11: one exchange, generations, no wait on a good token, nobody cancels.

use std::time::Duration;

use portcullis_core::{Clock as _, GrantId, Reason};
use portcullis_grants::RefreshRequest;
use portcullis_oauth::providers::Rotation;
use tokio::time::Instant;
use tower::ServiceExt as _;

use crate::{
    provider::Act,
    world::{GRANT, World, all, ask, config, pass, report},
};

#[tokio::test(start_paused = true)]
async fn g_01_one_exchange_for_all_who_ask_and_all_who_report() {
    let world = World::new().await;
    let token = world.upstream().access_token().await.expect("fresh");
    assert_eq!(world.provider.exchanges(), 0, "what is fresh is not exchanged");
    pass(301).await;
    let mut callers = ask(&world.upstream(), 500);
    callers.extend(ask(&world.refresher.clone().upstream(GRANT), 250));
    callers.extend(report(&world.upstream(), &token, 250));
    assert_eq!(all(callers).await, 1);
    assert_eq!(world.provider.exchanges(), 1);
    assert_eq!(world.stored().await, Some(1));
}

#[tokio::test(start_paused = true)]
async fn g_01_one_look_into_the_store_for_a_thousand_cold_callers() {
    let world = World::new().await;
    assert_eq!(all(ask(&world.upstream(), 1000)).await, 0);
    assert_eq!(world.provider.exchanges(), 0);
}

#[tokio::test(start_paused = true)]
async fn g_01_ten_thousand_grants_are_renewed_side_by_side() {
    let world = World::new().await;
    let ids: Vec<_> = (0..10_000_u128).map(|number| GrantId::from_bytes((number << 8).to_be_bytes())).collect();
    for id in &ids {
        world.log_in(*id, &id.to_string()).await;
    }
    pass(301).await;
    let begun = Instant::now();
    let callers: Vec<_> = ids.iter().flat_map(|id| ask(&world.refresher.upstream(*id), 1)).collect();
    assert_eq!(all(callers).await, 1);
    assert_eq!(world.provider.exchanges(), 10_000);
    assert!(begun.elapsed() < Duration::from_millis(100), "{:?}: they waited for each other", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn g_02_late_reports_of_an_old_token_cause_nothing() {
    let world = World::new().await;
    let first = world.upstream().access_token().await.expect("token");
    assert_eq!(all(report(&world.upstream(), &first, 100)).await, 1);
    pass(60).await;
    let second = world.upstream().access_token().await.expect("token");
    assert_eq!(all(report(&world.upstream(), &second, 100)).await, 2);
    for token in [&first, &second, &first] {
        assert_eq!(all(report(&world.upstream(), token, 100)).await, 2);
        pass(5).await;
    }
    assert_eq!(world.provider.exchanges(), 2);
    assert_eq!(world.provider.most_presented(), 1);
}

#[tokio::test(start_paused = true)]
async fn g_03_no_caller_waits_while_the_token_works_and_one_exchange_runs_in_the_background() {
    let world = World::new().await;
    drop(world.tokens().await.expect("fresh"));
    world.provider.set_latency(Duration::from_secs(5));
    // A fifth of 300 s is a minute, and up to a quarter less by chance.
    pass(239).await;
    assert_eq!(all(ask(&world.upstream(), 100)).await, 0);
    assert_eq!(world.provider.exchanges(), 0, "too early");
    pass(17).await;
    let begun = Instant::now();
    assert_eq!(all(ask(&world.upstream(), 100)).await, 0);
    assert_eq!(begun.elapsed(), Duration::ZERO);
    pass(1).await;
    assert_eq!(all(ask(&world.upstream(), 100)).await, 0);
    assert_eq!(world.provider.exchanges(), 1);
    pass(5).await;
    pass(5).await;
    assert_eq!(all(ask(&world.upstream(), 100)).await, 1);
    assert_eq!(world.provider.exchanges(), 1);
}

#[tokio::test(start_paused = true)]
async fn g_03_a_failure_in_the_background_is_not_reported_until_the_token_has_expired() {
    let world = World::new().await;
    drop(world.tokens().await.expect("fresh"));
    world.provider.always(Act::Fail { retry_after: None });
    pass(256).await;
    for _ in 0..8 {
        assert_eq!(all(ask(&world.upstream(), 10)).await, 0);
        pass(5).await;
    }
    let in_the_background = world.provider.exchanges();
    assert!((2..=5).contains(&in_the_background), "{in_the_background}: one per window");
    pass(40).await;
    let error = world.upstream().access_token().await.expect_err("expired");
    assert_eq!(error.reason(), Reason::ProviderUnavailable);
    assert_eq!(world.stored().await, Some(0), "nothing is lost");
    world.provider.always(Act::Answer);
    pass(40).await;
    assert_eq!(all(ask(&world.upstream(), 10)).await, 1);
}

#[tokio::test(start_paused = true)]
async fn g_04_callers_that_go_away_neither_cancel_nor_repeat_the_exchange() {
    let world = World::new().await;
    pass(301).await;
    let callers = ask(&world.upstream(), 250);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(world.provider.exchanges(), 1);
    callers.iter().for_each(tokio::task::JoinHandle::abort);
    drop(callers);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(world.stored().await, Some(1), "the new refresh token is in the store");
    assert_eq!(all(ask(&world.upstream(), 250)).await, 1);
    assert_eq!((world.provider.exchanges(), world.provider.is_alive("alice")), (1, true));
}

#[tokio::test(start_paused = true)]
async fn g_04_shutdown_waits_for_what_is_under_way() {
    let world = World::new().await;
    pass(301).await;
    drop(ask(&world.upstream(), 1));
    tokio::time::sleep(Duration::from_millis(10)).await;
    let begun = Instant::now();
    assert_eq!(world.refresher.shutdown().await, 0);
    assert_eq!(begun.elapsed(), Duration::from_millis(40));
    assert_eq!(world.stored().await, Some(1));
}

#[tokio::test(start_paused = true)]
async fn g_11_short_lives_do_not_mean_an_exchange_for_every_call() {
    for seconds in [2, 20, 29] {
        let world = World::new().await;
        pass(301).await;
        world.provider.set_lifetime(Some(Duration::from_secs(seconds)));
        for _ in 0..100 {
            assert_eq!(all(ask(&world.upstream(), 10)).await, 1);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(world.provider.exchanges(), 1, "{seconds} s");
    }
}

#[tokio::test(start_paused = true)]
async fn g_11_a_token_of_unknown_life_is_used_until_it_is_refused() {
    let world = World::new().await;
    pass(301).await;
    world.provider.set_lifetime(None);
    let token = world.upstream().access_token().await.expect("token");
    assert_eq!(token.expires_at(), None);
    pass(1_000_000).await;
    assert_eq!(all(ask(&world.upstream(), 10)).await, 1);
    assert_eq!(world.provider.exchanges(), 1);
    assert_eq!(all(report(&world.upstream(), &token, 10)).await, 2);
    // A life of zero is no life at all; it says that nothing is known.
    world.provider.set_lifetime(Some(Duration::ZERO));
    pass(60).await;
    let token = world.upstream().access_token().await.expect("token");
    assert_eq!(all(report(&world.upstream(), &token, 10)).await, 3);
    pass(60).await;
    assert_eq!(all(ask(&world.upstream(), 10)).await, 3);
}

#[tokio::test(start_paused = true)]
async fn g_11_a_clock_that_is_put_back_keeps_no_token_alive() {
    let world = World::new().await;
    drop(world.tokens().await.expect("fresh"));
    world.clock.set(world.clock.now().saturating_sub(Duration::from_secs(3600)));
    assert_eq!(all(ask(&world.upstream(), 1)).await, 0);
    pass(301).await;
    assert_eq!(all(ask(&world.upstream(), 100)).await, 1);
    assert_eq!(world.provider.exchanges(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_service_and_the_handle_see_the_same_tokens() {
    let world = World::with(config(Rotation::Reusable).with_early_refresh(Duration::from_secs(10))).await;
    let tokens = world.tokens().await.expect("tokens");
    let request = RefreshRequest::new(GRANT).with_rejected(tokens.generation());
    let renewed = world.refresher.clone().oneshot(request).await.expect("renewed");
    let token = world.upstream().access_token().await.expect("token");
    assert_eq!((renewed.generation(), token.expose_secret()), (token.generation(), "access-alice-1"));
}
