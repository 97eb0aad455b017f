//! G6 to G8: a spent refresh token is not presented again, failures are remembered, and only a dead grant requires a login.

use std::time::Duration;

use portcullis_core::{AuthErrorKind, Issuer, Reason, UserContext};
use portcullis_oauth::providers::Rotation;
use portcullis_refresh::TokenSet;

use crate::{
    ends::many,
    fixture::{Fixture, GRANT, all, ask, config, pass, report},
    provider::Act,
};

#[tokio::test(start_paused = true)]
async fn g_06_after_a_lost_response_the_refresh_token_is_not_presented_while_the_access_token_works() {
    let fixture = Fixture::new().await;
    drop(fixture.tokens().await.expect("fresh"));
    fixture.provider.next(Act::LoseAnswer);
    pass(256).await;
    for _ in 0..8 {
        assert_eq!(all(ask(&fixture.upstream(), 10)).await, 0);
        pass(5).await;
    }
    assert_eq!(fixture.provider.requests(), 1, "the refresh is deferred");
    // The access token has expired, so the refresh token is presented again. Here it is dead.
    pass(10).await;
    let error = fixture.upstream().access_token().await.expect_err("ended");
    assert_eq!(error.reason(), Reason::GrantEnded);
    assert_eq!(fixture.provider.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn g_06_a_lost_request_is_repeated_after_the_cool_down() {
    let fixture = Fixture::new().await;
    pass(301).await;
    fixture.provider.next(Act::LoseRequest);
    let error = fixture.upstream().access_token().await.expect_err("lost");
    assert_eq!(error.kind(), AuthErrorKind::Unavailable);
    assert!(fixture.upstream().access_token().await.is_err(), "not at once");
    assert_eq!(fixture.provider.requests(), 1);
    pass(2).await;
    assert_eq!(all(ask(&fixture.upstream(), 100)).await, 1);
    assert_eq!(fixture.provider.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn g_06_a_request_that_was_not_sent_spends_nothing() {
    let fixture = Fixture::new().await;
    drop(fixture.tokens().await.expect("fresh"));
    fixture.provider.next(Act::NotSent);
    pass(256).await;
    assert_eq!(all(ask(&fixture.upstream(), 10)).await, 0);
    pass(2).await;
    assert_eq!(all(ask(&fixture.upstream(), 10)).await, 0);
    pass(2).await;
    assert_eq!(all(ask(&fixture.upstream(), 10)).await, 1, "it was tried again although the old token still worked");
    assert_eq!(fixture.provider.most_presented(), 1);
}

#[tokio::test(start_paused = true)]
async fn g_06_a_refresh_ends_at_its_time_limit() {
    let config = config(Rotation::SingleUse).with_refresh_timeout(Duration::from_secs(3));
    let fixture = Fixture::with(config).await;
    pass(301).await;
    fixture.provider.always(Act::Hang);
    let begun = tokio::time::Instant::now();
    let error = fixture.upstream().access_token().await.expect_err("no answer");
    assert_eq!((error.reason(), begun.elapsed().as_secs()), (Reason::ProviderTimeout, 3));
}

#[tokio::test(start_paused = true)]
async fn g_07_a_refused_refresh_token_is_never_presented_again() {
    let fixture = Fixture::new().await;
    let upstream = fixture.upstream();
    let user = UserContext::builder(Issuer::new("https://idp.example").expect("issuer"), "alice")
        .with_upstream(upstream.clone())
        .build();
    let mut stream = Box::pin(user.revocation().revoked());
    drop(upstream.access_token().await.expect("fresh"));
    pass(301).await;
    assert!(!user.revocation().is_revoked());
    fixture.provider.always(Act::Refuse);
    for caller in ask(&upstream, 1000) {
        let error = caller.await.expect("no panic").expect_err("ended");
        assert_eq!((error.kind(), error.reason()), (AuthErrorKind::InvalidToken, Reason::GrantEnded));
    }
    assert!(user.revocation().is_revoked(), "its contexts are revoked");
    assert!(futures_util::poll!(&mut stream).is_ready(), "and its streams end");
    assert_eq!(fixture.stored().await, None, "the row is removed");
    pass(100_000).await;
    for upstream in [upstream, fixture.upstream(), fixture.another(config(Rotation::SingleUse)).upstream(GRANT)] {
        let error = upstream.access_token().await.expect_err("ended");
        assert_eq!(error.reason(), Reason::GrantEnded);
    }
    assert_eq!(fixture.provider.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn g_07_a_grant_that_ends_in_the_background_ends_at_once() {
    let fixture = Fixture::new().await;
    drop(fixture.tokens().await.expect("fresh"));
    fixture.provider.always(Act::Refuse);
    pass(256).await;
    assert_eq!(all(ask(&fixture.upstream(), 10)).await, 0);
    pass(1).await;
    let error = fixture.upstream().access_token().await.expect_err("ended");
    assert_eq!(error.reason(), Reason::GrantEnded, "although the access token would work for some time");
}

#[tokio::test(start_paused = true)]
async fn g_07_a_failing_provider_gets_one_call_per_growing_cool_down() {
    let fixture = Fixture::new().await;
    pass(301).await;
    fixture.provider.always(Act::Fail { retry_after: None });
    let mut calls = Vec::new();
    for _ in 0..60 {
        for caller in ask(&fixture.upstream(), 20) {
            let error = caller.await.expect("no panic").expect_err("failing");
            assert_eq!(error.kind(), AuthErrorKind::Unavailable, "never a reason to log in again");
            assert!(error.retry_after().is_some_and(|delay| !delay.is_zero()));
        }
        calls.push(fixture.provider.requests());
        pass(1).await;
    }
    // Cool-downs of 1, 2, 4, 8, 16 and 30 s, each up to a quarter longer.
    assert_eq!(calls[0], 1);
    assert!((5..=7).contains(&calls[59]), "{calls:?}");
    assert_eq!(fixture.stored().await, Some(0), "nothing is lost");
}

#[tokio::test(start_paused = true)]
async fn g_07_retry_after_of_the_provider_is_honoured() {
    let fixture = Fixture::new().await;
    pass(301).await;
    fixture.provider.next(Act::Fail { retry_after: Some(60) });
    let error = fixture.upstream().access_token().await.expect_err("failing");
    assert!(error.retry_after() >= Some(Duration::from_secs(60)));
    pass(59).await;
    assert!(fixture.upstream().access_token().await.is_err());
    assert_eq!(fixture.provider.requests(), 1);
    pass(17).await;
    assert_eq!(all(ask(&fixture.upstream(), 10)).await, 1);
}

#[tokio::test(start_paused = true)]
async fn g_08_our_own_wrong_configuration_logs_no_user_out() {
    let fixture = Fixture::new().await;
    pass(301).await;
    fixture.provider.next(Act::Misconfigured);
    let error = fixture.upstream().access_token().await.expect_err("refused");
    assert_eq!((error.kind(), error.reason()), (AuthErrorKind::Unavailable, Reason::ClientRefused));
    pass(2).await;
    assert_eq!(all(ask(&fixture.upstream(), 10)).await, 1);
}

#[tokio::test(start_paused = true)]
async fn g_08_unexplained_refusals_end_a_grant_by_evidence_with_one_call_per_cool_down() {
    for (accepted, ends) in [(true, true), (false, false)] {
        let fixture = Fixture::new().await;
        pass(301).await;
        fixture.provider.always(Act::Unexplained { accepted });
        let upstream = fixture.upstream();
        for second in 0..300 {
            for caller in ask(&upstream, 20) {
                let error = caller.await.expect("no panic").expect_err("refused");
                let expected =
                    if ends && fixture.stored().await.is_none() { Reason::GrantEnded } else { Reason::UnknownRefusal };
                assert_eq!(error.reason(), expected, "after {second} s");
            }
            pass(1).await;
        }
        // Cool-downs of 1, 2, 4, 8, 16 and 30 s, each up to a quarter longer: a minute has passed after the 6th or the 7th.
        let exchanges = fixture.provider.requests();
        let expected = if ends { 6..=7 } else { 12..=16 };
        assert!(expected.contains(&exchanges), "{accepted}: {exchanges}");
        assert_eq!(fixture.stored().await.is_none(), ends, "{accepted}");
        assert_eq!(upstream.revocation().expect("an end").is_revoked(), ends, "{accepted}");
    }
}

#[tokio::test(start_paused = true)]
async fn g_08_evidence_is_kept_without_callers_and_ends_with_a_success() {
    let fixture = Fixture::new().await;
    pass(301).await;
    let refused = Act::Unexplained { accepted: true };
    for _ in 0..2 {
        fixture.provider.next(refused);
        assert!(fixture.upstream().access_token().await.is_err());
        pass(45).await;
        // The pool forgets entries without callers, except those with evidence.
        many(&fixture);
    }
    fixture.provider.next(Act::Answer);
    assert_eq!(all(ask(&fixture.upstream(), 1)).await, 1, "the grant is alive");
    pass(301).await;
    fixture.provider.next(refused);
    assert_eq!(fixture.upstream().access_token().await.expect_err("refused").reason(), Reason::UnknownRefusal);
    pass(45).await;
    fixture.provider.always(refused);
    assert_eq!(fixture.upstream().access_token().await.expect_err("refused").reason(), Reason::UnknownRefusal);
    many(&fixture);
    pass(45).await;
    assert_eq!(fixture.upstream().access_token().await.expect_err("the third").reason(), Reason::GrantEnded);
}

#[tokio::test(start_paused = true)]
async fn g_08_a_store_that_cannot_be_read_logs_no_user_out() {
    let fixture = Fixture::new().await;
    fixture.store.refuse_reads(true);
    let error = fixture.upstream().access_token().await.expect_err("unreadable");
    assert_eq!((error.kind(), error.reason()), (AuthErrorKind::Unavailable, Reason::StoreUnavailable));
    fixture.store.refuse_reads(false);
    pass(2).await;
    assert_eq!(all(ask(&fixture.upstream(), 10)).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_token_refresh_service_is_a_failed_refresh() {
    let fixture = Fixture::new().await;
    pass(301).await;
    fixture.provider.next(Act::Panic);
    for caller in ask(&fixture.upstream(), 10) {
        assert_eq!(caller.await.expect("no panic here").expect_err("failed").kind(), AuthErrorKind::Unavailable);
    }
    pass(2).await;
    let begun = tokio::time::Instant::now();
    assert_eq!(all(ask(&fixture.upstream(), 10)).await, 1);
    assert!(begun.elapsed() < Duration::from_secs(1), "the lease is released");
}

#[tokio::test(start_paused = true)]
async fn an_omitted_refresh_token_keeps_the_old_one() {
    let fixture = Fixture::new().await;
    pass(301).await;
    fixture.provider.next(Act::OmitRefreshToken);
    let tokens = fixture.tokens().await.expect("tokens");
    assert_eq!(refresh_token(&tokens), "refresh-alice-0");
    let stored = fixture.grants.load(GRANT).await.expect("readable").expect("stored");
    assert_eq!(refresh_token(stored.record.tokens()), "refresh-alice-0");
}

fn refresh_token(tokens: &TokenSet) -> &str {
    use secrecy::ExposeSecret as _;
    tokens.refresh_token().expect("a refresh token").expose_secret()
}

#[tokio::test(start_paused = true)]
async fn a_new_token_that_the_provider_rejects_is_not_refreshed_again_and_again() {
    let fixture = Fixture::new().await;
    let mut token = fixture.upstream().access_token().await.expect("token");
    for _ in 0..50 {
        if let Ok(renewed) = fixture.upstream().rejected(&token).await {
            token = renewed;
        }
    }
    assert_eq!(fixture.provider.requests(), 1);
    let error = fixture.upstream().rejected(&token).await.expect_err("refused again");
    assert_eq!((error.kind(), error.reason()), (AuthErrorKind::Unavailable, Reason::FreshTokenRefused));
    pass(11).await;
    assert_eq!(all(report(&fixture.upstream(), &token, 50)).await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_grant_is_gone_from_process_and_store() {
    let fixture = Fixture::new().await;
    let upstream = fixture.upstream();
    drop(upstream.access_token().await.expect("fresh"));
    let ended = fixture.refresher.delete(GRANT).await.expect("removed").expect("there was one");
    assert_eq!(ended.generation().number(), 0);
    assert!(upstream.revocation().is_some_and(|end| end.is_revoked()));
    assert_eq!(upstream.access_token().await.expect_err("ended").reason(), Reason::GrantEnded);
    assert_eq!(fixture.stored().await, None);
    assert!(fixture.refresher.delete(GRANT).await.expect("nothing to remove").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_is_deleted_during_its_refresh_does_not_come_back() {
    let fixture = Fixture::new().await;
    pass(301).await;
    let callers = ask(&fixture.upstream(), 3);
    tokio::time::sleep(Duration::from_millis(20)).await;
    drop(fixture.refresher.delete(GRANT).await.expect("removed"));
    for caller in callers {
        assert_eq!(caller.await.expect("no panic").expect_err("ended").reason(), Reason::GrantEnded);
    }
    pass(5).await;
    assert_eq!(fixture.stored().await, None);
    assert!(fixture.upstream().access_token().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn g_06_a_refused_token_is_renewed_by_the_next_caller() {
    let fixture = Fixture::new().await;
    let token = fixture.upstream().access_token().await.expect("fresh");
    fixture.provider.next(Act::LoseRequest);
    assert!(fixture.upstream().rejected(&token).await.is_err());
    pass(3).await;
    // No caller has to report it again, and the refresh is not deferred because the access token is dead.
    assert_eq!(all(ask(&fixture.upstream(), 10)).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_late_report_of_an_older_token_is_not_a_report_of_the_next_one() {
    let fixture = Fixture::new().await;
    let first = fixture.upstream().access_token().await.expect("fresh");
    let second = fixture.upstream().rejected(&first).await.expect("renewed");
    pass(301).await;
    // The second token has expired; a caller reports the first one.
    assert_eq!(all(report(&fixture.upstream(), &first, 3)).await, 2);
    let third = fixture.upstream().access_token().await.expect("fresh");
    assert_eq!(all(report(&fixture.upstream(), &third, 3)).await, 3, "the first report of the third");
    assert_eq!(second.generation().number(), 1);
}
