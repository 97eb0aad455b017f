//! G6 to G8: what is spent is spent, failures are remembered, and only a dead grant is a reason to log in again.

use std::time::Duration;

use portcullis_core::{AuthErrorKind, Issuer, Reason, UserContext};
use portcullis_grants::TokenSet;
use portcullis_oauth::providers::Rotation;

use crate::{
    ends::many,
    provider::Act,
    world::{GRANT, World, all, ask, config, pass, report},
};

#[tokio::test(start_paused = true)]
async fn g_06_a_lost_answer_is_not_asked_for_again_while_the_token_works() {
    let world = World::new().await;
    drop(world.tokens().await.expect("fresh"));
    world.provider.next(Act::LoseAnswer);
    pass(256).await;
    for _ in 0..8 {
        assert_eq!(all(ask(&world.upstream(), 10)).await, 0);
        pass(5).await;
    }
    assert_eq!(world.provider.exchanges(), 1, "the refresh token is spared");
    // It has expired: presenting the token is the only hope left, and here a vain one.
    pass(10).await;
    let error = world.upstream().access_token().await.expect_err("ended");
    assert_eq!(error.reason(), Reason::GrantEnded);
    assert_eq!(world.provider.exchanges(), 2);
}

#[tokio::test(start_paused = true)]
async fn g_06_a_lost_request_costs_nothing_but_time() {
    let world = World::new().await;
    pass(301).await;
    world.provider.next(Act::LoseRequest);
    let error = world.upstream().access_token().await.expect_err("lost");
    assert_eq!(error.kind(), AuthErrorKind::Unavailable);
    assert!(world.upstream().access_token().await.is_err(), "not at once");
    assert_eq!(world.provider.exchanges(), 1);
    pass(2).await;
    assert_eq!(all(ask(&world.upstream(), 100)).await, 1);
    assert_eq!(world.provider.exchanges(), 2);
}

#[tokio::test(start_paused = true)]
async fn g_06_what_was_not_sent_is_not_spent() {
    let world = World::new().await;
    drop(world.tokens().await.expect("fresh"));
    world.provider.next(Act::NotSent);
    pass(256).await;
    assert_eq!(all(ask(&world.upstream(), 10)).await, 0);
    pass(2).await;
    assert_eq!(all(ask(&world.upstream(), 10)).await, 0);
    pass(2).await;
    assert_eq!(all(ask(&world.upstream(), 10)).await, 1, "it was tried again although the old token still worked");
    assert_eq!(world.provider.most_presented(), 1);
}

#[tokio::test(start_paused = true)]
async fn g_06_a_provider_that_hangs_is_given_up_after_the_time_limit() {
    let config = config(Rotation::SingleUse).with_refresh_timeout(Duration::from_secs(3));
    let world = World::with(config).await;
    pass(301).await;
    world.provider.always(Act::Hang);
    let begun = tokio::time::Instant::now();
    let error = world.upstream().access_token().await.expect_err("no answer");
    assert_eq!((error.reason(), begun.elapsed().as_secs()), (Reason::ProviderTimeout, 3));
}

#[tokio::test(start_paused = true)]
async fn g_07_a_refused_refresh_token_is_never_presented_again() {
    let world = World::new().await;
    let upstream = world.upstream();
    let user = UserContext::builder(Issuer::new("https://idp.example").expect("issuer"), "alice")
        .with_upstream(upstream.clone())
        .build();
    let mut stream = Box::pin(user.revocation().revoked());
    drop(upstream.access_token().await.expect("fresh"));
    pass(301).await;
    assert!(!user.revocation().is_revoked());
    world.provider.always(Act::Refuse);
    for caller in ask(&upstream, 1000) {
        let error = caller.await.expect("no panic").expect_err("ended");
        assert_eq!((error.kind(), error.reason()), (AuthErrorKind::InvalidToken, Reason::GrantEnded));
    }
    assert!(user.revocation().is_revoked(), "its contexts are withdrawn");
    assert!(futures_util::poll!(&mut stream).is_ready(), "and its streams end");
    assert_eq!(world.stored().await, None, "nothing is kept of it");
    pass(100_000).await;
    for upstream in [upstream, world.upstream(), world.another(config(Rotation::SingleUse)).upstream(GRANT)] {
        let error = upstream.access_token().await.expect_err("ended");
        assert_eq!(error.reason(), Reason::GrantEnded);
    }
    assert_eq!(world.provider.exchanges(), 1);
}

#[tokio::test(start_paused = true)]
async fn g_07_a_grant_that_ends_in_the_background_ends_at_once() {
    let world = World::new().await;
    drop(world.tokens().await.expect("fresh"));
    world.provider.always(Act::Refuse);
    pass(256).await;
    assert_eq!(all(ask(&world.upstream(), 10)).await, 0);
    pass(1).await;
    let error = world.upstream().access_token().await.expect_err("ended");
    assert_eq!(error.reason(), Reason::GrantEnded, "although the access token would work for some time");
}

#[tokio::test(start_paused = true)]
async fn g_07_a_failing_provider_gets_one_call_per_window_and_windows_grow() {
    let world = World::new().await;
    pass(301).await;
    world.provider.always(Act::Fail { retry_after: None });
    let mut calls = Vec::new();
    for _ in 0..60 {
        for caller in ask(&world.upstream(), 20) {
            let error = caller.await.expect("no panic").expect_err("failing");
            assert_eq!(error.kind(), AuthErrorKind::Unavailable, "never a reason to log in again");
            assert!(error.retry_after().is_some_and(|delay| !delay.is_zero()));
        }
        calls.push(world.provider.exchanges());
        pass(1).await;
    }
    // Windows of 1, 2, 4, 8, 16 and 30 s, each up to a quarter longer.
    assert_eq!(calls[0], 1);
    assert!((5..=7).contains(&calls[59]), "{calls:?}");
    assert_eq!(world.stored().await, Some(0), "nothing is lost");
}

#[tokio::test(start_paused = true)]
async fn g_07_the_provider_is_left_alone_for_as_long_as_it_asks() {
    let world = World::new().await;
    pass(301).await;
    world.provider.next(Act::Fail { retry_after: Some(60) });
    let error = world.upstream().access_token().await.expect_err("failing");
    assert!(error.retry_after() >= Some(Duration::from_secs(60)));
    pass(59).await;
    assert!(world.upstream().access_token().await.is_err());
    assert_eq!(world.provider.exchanges(), 1);
    pass(17).await;
    assert_eq!(all(ask(&world.upstream(), 10)).await, 1);
}

#[tokio::test(start_paused = true)]
async fn g_08_our_own_wrong_configuration_logs_no_user_out() {
    let world = World::new().await;
    pass(301).await;
    world.provider.next(Act::Misconfigured);
    let error = world.upstream().access_token().await.expect_err("refused");
    assert_eq!((error.kind(), error.reason()), (AuthErrorKind::Unavailable, Reason::ClientRefused));
    pass(2).await;
    assert_eq!(all(ask(&world.upstream(), 10)).await, 1);
}

#[tokio::test(start_paused = true)]
async fn g_08_a_refusal_in_unknown_words_ends_a_grant_by_evidence_and_by_one_call_per_window() {
    for (accepted, ends) in [(true, true), (false, false)] {
        let world = World::new().await;
        pass(301).await;
        world.provider.always(Act::Unexplained { accepted });
        let upstream = world.upstream();
        for second in 0..300 {
            for caller in ask(&upstream, 20) {
                let error = caller.await.expect("no panic").expect_err("refused");
                let expected =
                    if ends && world.stored().await.is_none() { Reason::GrantEnded } else { Reason::UnknownRefusal };
                assert_eq!(error.reason(), expected, "after {second} s");
            }
            pass(1).await;
        }
        // Windows of 1, 2, 4, 8, 16 and 30 s, each up to a quarter longer: a minute is over after the 7th, if not the 6th.
        let exchanges = world.provider.exchanges();
        let expected = if ends { 6..=7 } else { 12..=16 };
        assert!(expected.contains(&exchanges), "{accepted}: {exchanges}");
        assert_eq!(world.stored().await.is_none(), ends, "{accepted}");
        assert_eq!(upstream.revocation().expect("an end").is_revoked(), ends, "{accepted}");
    }
}

#[tokio::test(start_paused = true)]
async fn g_08_evidence_outlives_the_callers_and_ends_with_a_success() {
    let world = World::new().await;
    pass(301).await;
    let refused = Act::Unexplained { accepted: true };
    for _ in 0..2 {
        world.provider.next(refused);
        assert!(world.upstream().access_token().await.is_err());
        pass(45).await;
        // What no caller holds may be forgotten, but for this.
        many(&world);
    }
    world.provider.next(Act::Answer);
    assert_eq!(all(ask(&world.upstream(), 1)).await, 1, "alive after all");
    pass(301).await;
    world.provider.next(refused);
    assert_eq!(world.upstream().access_token().await.expect_err("refused").reason(), Reason::UnknownRefusal);
    pass(45).await;
    world.provider.always(refused);
    assert_eq!(world.upstream().access_token().await.expect_err("refused").reason(), Reason::UnknownRefusal);
    many(&world);
    pass(45).await;
    assert_eq!(world.upstream().access_token().await.expect_err("the third").reason(), Reason::GrantEnded);
}

#[tokio::test(start_paused = true)]
async fn g_08_a_store_that_cannot_be_read_logs_no_user_out() {
    let world = World::new().await;
    world.store.refuse_reads(true);
    let error = world.upstream().access_token().await.expect_err("unreadable");
    assert_eq!((error.kind(), error.reason()), (AuthErrorKind::Unavailable, Reason::StoreUnavailable));
    world.store.refuse_reads(false);
    pass(2).await;
    assert_eq!(all(ask(&world.upstream(), 10)).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_an_exchange_frees_the_slot() {
    let world = World::new().await;
    pass(301).await;
    world.provider.next(Act::Panic);
    for caller in ask(&world.upstream(), 10) {
        assert_eq!(caller.await.expect("no panic here").expect_err("failed").kind(), AuthErrorKind::Unavailable);
    }
    pass(2).await;
    let begun = tokio::time::Instant::now();
    assert_eq!(all(ask(&world.upstream(), 10)).await, 1);
    assert!(begun.elapsed() < Duration::from_secs(1), "nothing stays reserved");
}

#[tokio::test(start_paused = true)]
async fn an_omitted_refresh_token_keeps_the_old_one() {
    let world = World::new().await;
    pass(301).await;
    world.provider.next(Act::OmitRefreshToken);
    let tokens = world.tokens().await.expect("tokens");
    assert_eq!(refresh_token(&tokens), "refresh-alice-0");
    let kept = world.vault.load(GRANT).await.expect("readable").expect("kept");
    assert_eq!(refresh_token(kept.record.tokens()), "refresh-alice-0");
}

fn refresh_token(tokens: &TokenSet) -> &str {
    use secrecy::ExposeSecret as _;
    tokens.refresh_token().expect("a refresh token").expose_secret()
}

#[tokio::test(start_paused = true)]
async fn a_fresh_token_that_the_provider_refuses_is_not_exchanged_for_ever() {
    let world = World::new().await;
    let mut token = world.upstream().access_token().await.expect("token");
    for _ in 0..50 {
        if let Ok(renewed) = world.upstream().rejected(&token).await {
            token = renewed;
        }
    }
    assert_eq!(world.provider.exchanges(), 1);
    let error = world.upstream().rejected(&token).await.expect_err("refused again");
    assert_eq!((error.kind(), error.reason()), (AuthErrorKind::Unavailable, Reason::FreshTokenRefused));
    pass(11).await;
    assert_eq!(all(report(&world.upstream(), &token, 50)).await, 2);
}

#[tokio::test(start_paused = true)]
async fn what_ends_by_our_own_doing_is_gone_everywhere() {
    let world = World::new().await;
    let upstream = world.upstream();
    drop(upstream.access_token().await.expect("fresh"));
    let ended = world.refresher.delete(GRANT).await.expect("removed").expect("there was one");
    assert_eq!(ended.generation().number(), 0);
    assert!(upstream.revocation().is_some_and(|end| end.is_revoked()));
    assert_eq!(upstream.access_token().await.expect_err("ended").reason(), Reason::GrantEnded);
    assert_eq!(world.stored().await, None);
    assert!(world.refresher.delete(GRANT).await.expect("nothing to remove").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_is_ended_while_it_is_refreshed_does_not_come_back() {
    let world = World::new().await;
    pass(301).await;
    let callers = ask(&world.upstream(), 3);
    tokio::time::sleep(Duration::from_millis(20)).await;
    drop(world.refresher.delete(GRANT).await.expect("removed"));
    for caller in callers {
        assert_eq!(caller.await.expect("no panic").expect_err("ended").reason(), Reason::GrantEnded);
    }
    pass(5).await;
    assert_eq!(world.stored().await, None);
    assert!(world.upstream().access_token().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn g_06_a_refused_token_is_renewed_by_the_next_caller() {
    let world = World::new().await;
    let token = world.upstream().access_token().await.expect("fresh");
    world.provider.next(Act::LoseRequest);
    assert!(world.upstream().rejected(&token).await.is_err());
    pass(3).await;
    // Nobody has to report it again, and there is nothing to spare the refresh token for.
    assert_eq!(all(ask(&world.upstream(), 10)).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_late_report_of_an_older_token_is_no_report_of_the_next_one() {
    let world = World::new().await;
    let first = world.upstream().access_token().await.expect("fresh");
    let second = world.upstream().rejected(&first).await.expect("renewed");
    pass(301).await;
    // The second has expired; somebody still complains about the first.
    assert_eq!(all(report(&world.upstream(), &first, 3)).await, 2);
    let third = world.upstream().access_token().await.expect("fresh");
    assert_eq!(all(report(&world.upstream(), &third, 3)).await, 3, "the first complaint about the third");
    assert_eq!(second.generation().number(), 1);
}
