//! G1 to G4 and G11: one refresh, generations, no wait on a token that works, detached tasks.

use std::time::Duration;

use portcullis_core::{Clock as _, GrantId, Reason};
use portcullis_oauth::providers::Rotation;
use portcullis_refresh::RefreshRequest;
use tokio::time::Instant;
use tower::ServiceExt as _;

use crate::{
    fixture::{Fixture, GRANT, all, ask, config, pass, report},
    provider::Act,
};

#[tokio::test(start_paused = true)]
async fn g_01_callers_and_reports_share_one_refresh() {
    let fixture = Fixture::new().await;
    let token = fixture.upstream().access_token().await.expect("fresh");
    assert_eq!(fixture.provider.requests(), 0, "a fresh token is not refreshed");
    pass(301).await;
    let mut callers = ask(&fixture.upstream(), 500);
    callers.extend(ask(&fixture.refresher.clone().upstream(GRANT), 250));
    callers.extend(report(&fixture.upstream(), &token, 250));
    assert_eq!(all(callers).await, 1);
    assert_eq!(fixture.provider.requests(), 1);
    assert_eq!(fixture.stored().await, Some(1));
}

#[tokio::test(start_paused = true)]
async fn g_01_a_thousand_callers_without_tokens_share_one_read_of_the_store() {
    let fixture = Fixture::new().await;
    assert_eq!(all(ask(&fixture.upstream(), 1000)).await, 0);
    assert_eq!(fixture.provider.requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn g_01_a_thousand_grants_are_refreshed_concurrently() {
    let fixture = Fixture::new().await;
    let ids: Vec<_> = (0..1_000_u128).map(|number| GrantId::from_bytes((number << 8).to_be_bytes())).collect();
    for id in &ids {
        fixture.log_in(*id, &id.to_string()).await;
    }
    pass(301).await;
    let begun = Instant::now();
    let callers: Vec<_> = ids.iter().flat_map(|id| ask(&fixture.refresher.upstream(*id), 1)).collect();
    assert_eq!(all(callers).await, 1);
    assert_eq!(fixture.provider.requests(), 1_000);
    assert!(begun.elapsed() < Duration::from_millis(100), "{:?}: they waited for each other", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn g_02_late_reports_of_an_old_token_cause_no_refresh() {
    let fixture = Fixture::new().await;
    let first = fixture.upstream().access_token().await.expect("token");
    assert_eq!(all(report(&fixture.upstream(), &first, 100)).await, 1);
    pass(60).await;
    let second = fixture.upstream().access_token().await.expect("token");
    assert_eq!(all(report(&fixture.upstream(), &second, 100)).await, 2);
    for token in [&first, &second, &first] {
        assert_eq!(all(report(&fixture.upstream(), token, 100)).await, 2);
        pass(5).await;
    }
    assert_eq!(fixture.provider.requests(), 2);
    assert_eq!(fixture.provider.most_presented(), 1);
}

#[tokio::test(start_paused = true)]
async fn g_03_no_caller_waits_while_the_token_works_and_one_exchange_runs_in_the_background() {
    let fixture = Fixture::new().await;
    drop(fixture.tokens().await.expect("fresh"));
    fixture.provider.set_latency(Duration::from_secs(5));
    // A fifth of 300 s is a minute, minus up to a quarter at random.
    pass(239).await;
    assert_eq!(all(ask(&fixture.upstream(), 100)).await, 0);
    assert_eq!(fixture.provider.requests(), 0, "too early");
    pass(17).await;
    let begun = Instant::now();
    assert_eq!(all(ask(&fixture.upstream(), 100)).await, 0);
    assert_eq!(begun.elapsed(), Duration::ZERO);
    pass(1).await;
    assert_eq!(all(ask(&fixture.upstream(), 100)).await, 0);
    assert_eq!(fixture.provider.requests(), 1);
    pass(5).await;
    pass(5).await;
    assert_eq!(all(ask(&fixture.upstream(), 100)).await, 1);
    assert_eq!(fixture.provider.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn g_03_a_failure_in_the_background_is_not_reported_until_the_token_has_expired() {
    let fixture = Fixture::new().await;
    drop(fixture.tokens().await.expect("fresh"));
    fixture.provider.always(Act::Fail { retry_after: None });
    pass(256).await;
    for _ in 0..8 {
        assert_eq!(all(ask(&fixture.upstream(), 10)).await, 0);
        pass(5).await;
    }
    let in_the_background = fixture.provider.requests();
    assert!((2..=5).contains(&in_the_background), "{in_the_background}: one per window");
    pass(40).await;
    let error = fixture.upstream().access_token().await.expect_err("expired");
    assert_eq!(error.reason(), Reason::ProviderUnavailable);
    assert_eq!(fixture.stored().await, Some(0), "nothing is lost");
    fixture.provider.always(Act::Answer);
    pass(40).await;
    assert_eq!(all(ask(&fixture.upstream(), 10)).await, 1);
}

#[tokio::test(start_paused = true)]
async fn g_04_dropped_callers_neither_cancel_nor_repeat_the_refresh() {
    let fixture = Fixture::new().await;
    pass(301).await;
    let callers = ask(&fixture.upstream(), 250);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(fixture.provider.requests(), 1);
    callers.iter().for_each(tokio::task::JoinHandle::abort);
    drop(callers);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(fixture.stored().await, Some(1), "the new refresh token is in the store");
    assert_eq!(all(ask(&fixture.upstream(), 250)).await, 1);
    assert_eq!((fixture.provider.requests(), fixture.provider.is_alive("alice")), (1, true));
}

#[tokio::test(start_paused = true)]
async fn g_04_shutdown_waits_for_refreshes_in_progress() {
    let fixture = Fixture::new().await;
    pass(301).await;
    drop(ask(&fixture.upstream(), 1));
    tokio::time::sleep(Duration::from_millis(10)).await;
    let begun = Instant::now();
    assert_eq!(fixture.refresher.shutdown().await, 0);
    assert_eq!(begun.elapsed(), Duration::from_millis(40));
    assert_eq!(fixture.stored().await, Some(1));
}

#[tokio::test(start_paused = true)]
async fn g_11_short_lifetimes_do_not_cause_a_refresh_for_every_call() {
    for seconds in [2, 20, 29] {
        let fixture = Fixture::new().await;
        pass(301).await;
        fixture.provider.set_lifetime(Some(Duration::from_secs(seconds)));
        for _ in 0..100 {
            assert_eq!(all(ask(&fixture.upstream(), 10)).await, 1);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(fixture.provider.requests(), 1, "{seconds} s");
    }
}

#[tokio::test(start_paused = true)]
async fn g_11_a_token_of_unknown_lifetime_is_used_until_it_is_rejected() {
    let fixture = Fixture::new().await;
    pass(301).await;
    fixture.provider.set_lifetime(None);
    let token = fixture.upstream().access_token().await.expect("token");
    assert_eq!(token.expires_at(), None);
    pass(1_000_000).await;
    assert_eq!(all(ask(&fixture.upstream(), 10)).await, 1);
    assert_eq!(fixture.provider.requests(), 1);
    assert_eq!(all(report(&fixture.upstream(), &token, 10)).await, 2);
    // A lifetime of zero means that the lifetime is unknown.
    fixture.provider.set_lifetime(Some(Duration::ZERO));
    pass(60).await;
    let token = fixture.upstream().access_token().await.expect("token");
    assert_eq!(all(report(&fixture.upstream(), &token, 10)).await, 3);
    pass(60).await;
    assert_eq!(all(ask(&fixture.upstream(), 10)).await, 3);
}

#[tokio::test(start_paused = true)]
async fn g_11_a_calendar_that_is_set_back_keeps_no_token_alive() {
    let fixture = Fixture::new().await;
    drop(fixture.tokens().await.expect("fresh"));
    fixture.clock.set(fixture.clock.now().saturating_sub(Duration::from_secs(3600)));
    assert_eq!(all(ask(&fixture.upstream(), 1)).await, 0);
    pass(301).await;
    assert_eq!(all(ask(&fixture.upstream(), 100)).await, 1);
    assert_eq!(fixture.provider.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_service_and_the_handle_see_the_same_tokens() {
    let fixture = Fixture::with(config(Rotation::Reusable).with_early_refresh(Duration::from_secs(10))).await;
    let tokens = fixture.tokens().await.expect("tokens");
    let request = RefreshRequest::new(GRANT).with_rejected(tokens.generation());
    let renewed = fixture.refresher.clone().oneshot(request).await.expect("renewed");
    let token = fixture.upstream().access_token().await.expect("token");
    assert_eq!((renewed.generation(), token.expose_secret()), (token.generation(), "access-alice-1"));
}
