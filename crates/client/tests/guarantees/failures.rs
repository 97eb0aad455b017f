//! G5 to G10: what is saved before it is used, what is never presented again, what is remembered, and what other processes do.

use std::{sync::atomic::Ordering, time::Duration};

use portcullis_client::{AcquireError, ScopeSet, TokenState};
use tokio::time::Instant;

use crate::{
    fixture::{Fixture, acquire, all, errors, join, pass, pass_millis, report},
    server::{Act, Kind, invalid_token},
};

const KINDS: [Kind; 3] = [Kind::User, Kind::Client, Kind::Both];

#[tokio::test(start_paused = true)]
async fn g5_tokens_that_cannot_be_saved_are_used_and_saved_later_without_another_exchange() {
    for kind in KINDS {
        let fixture = Fixture::expired(kind).await;
        fixture.refuse_writes(true);
        assert_eq!(all(acquire(&fixture.manager, 100)).await, "access-2", "{kind:?}");
        assert!(fixture.manager.snapshot().unsaved);
        pass(5).await;
        assert!(fixture.manager.snapshot().unsaved);
        fixture.refuse_writes(false);
        pass(2).await;
        assert!(!fixture.manager.snapshot().unsaved);
        assert_eq!(all(acquire(&fixture.another(), 10)).await, "access-2", "another process has them");
        assert_eq!((fixture.server.exchanges(), fixture.manager.shutdown().await), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn g5_a_login_that_cannot_be_saved_is_not_lost() {
    let fixture = Fixture::new(Kind::User);
    fixture.refuse_writes(true);
    let token = fixture.log_in().await;
    assert!(fixture.manager.snapshot().unsaved);
    assert_eq!(all(acquire(&fixture.manager, 10)).await, token.expose_secret());
    fixture.refuse_writes(false);
    pass(2).await;
    assert!(!fixture.manager.snapshot().unsaved);
    assert_eq!(all(acquire(&fixture.another(), 10)).await, token.expose_secret());
    assert_eq!((fixture.server.exchanges(), fixture.manager.shutdown().await), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn g5_a_login_that_is_not_saved_yet_is_not_mixed_with_the_row_before() {
    // The process has the tokens of the row, or has just started.
    for has_tokens in [true, false] {
        let (fixture, _) = Fixture::logged_in(Kind::User).await;
        let manager = if has_tokens { fixture.manager.clone() } else { fixture.another() };
        fixture.refuse_writes(true);
        let token = manager.login(&ScopeSet::default()).await.expect("it is used before it is saved");
        fixture.refuse_writes(false);
        // Refused before the save is retried.
        for result in join(report(&manager, &token, &invalid_token(), 10)).await {
            assert!(matches!(result, Err(AcquireError::Unavailable(_))), "{has_tokens}: {result:?}");
        }
        pass(40).await;
        assert!(!manager.snapshot().unsaved);
        let next = all(acquire(&manager, 10)).await;
        assert_eq!(next, "access-3", "{has_tokens}: of the refresh token of the second login");
        assert_eq!(all(acquire(&fixture.another(), 10)).await, next);
        let state = fixture.server.state();
        assert_eq!((state.presented_after_result, state.refreshes), (0, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn g5_a_shutdown_reports_tokens_that_could_never_be_saved() {
    for login_is_saved in [true, false] {
        let fixture = Fixture::new(Kind::User);
        fixture.refuse_writes(!login_is_saved);
        fixture.log_in().await;
        fixture.refuse_writes(true);
        if login_is_saved {
            pass(300).await;
            all(acquire(&fixture.manager, 1)).await;
        }
        assert_eq!(fixture.manager.shutdown().await, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn g6_a_refresh_token_that_may_be_spent_is_not_presented_while_the_access_token_works() {
    let (fixture, token) = Fixture::logged_in(Kind::User).await;
    fixture.server.next(Act::LoseRequest);
    pass(270).await;
    for _ in 0..20 {
        assert_eq!(all(acquire(&fixture.manager, 10)).await, token.expose_secret());
        pass(1).await;
    }
    assert_eq!(fixture.server.exchanges(), 1);
    pass(40).await;
    assert_eq!(all(acquire(&fixture.manager, 100)).await, "access-2", "it had not arrived");
    assert_eq!(fixture.server.exchanges(), 2);
}

#[tokio::test(start_paused = true)]
async fn g6_an_acquisition_that_was_not_answered_is_not_repeated_while_the_access_token_works() {
    let (fixture, token) = Fixture::logged_in(Kind::Client).await;
    fixture.server.next(Act::LoseRequest);
    pass(270).await;
    all(acquire(&fixture.manager, 10)).await;
    pass(1).await;
    let other = fixture.another();
    for _ in 0..20 {
        for manager in [&fixture.manager, &other] {
            assert_eq!(all(acquire(manager, 10)).await, token.expose_secret());
        }
        pass(1).await;
    }
    assert_eq!(fixture.server.exchanges(), 1, "in any process");
    pass(40).await;
    assert_eq!(all(acquire(&other, 100)).await, "access-2");
    assert_eq!(fixture.server.exchanges(), 2);
}

#[tokio::test(start_paused = true)]
async fn g6_a_refresh_token_that_may_be_spent_is_presented_once_per_back_off() {
    let fixture = Fixture::expired(Kind::User).await;
    fixture.server.always(Act::LoseRequest);
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(60) {
        for error in errors(acquire(&fixture.manager, 10)).await {
            assert!(matches!(error, AcquireError::Unavailable(_)), "{error:?}");
        }
        pass_millis(250).await;
    }
    assert!(fixture.server.exchanges() <= 7, "{}", fixture.server.exchanges());
}

#[tokio::test(start_paused = true)]
async fn g6_an_exchange_without_an_answer_ends_at_its_time_limit() {
    for kind in KINDS {
        let fixture = Fixture::expired(kind).await;
        fixture.server.next(Act::Hang);
        let start = Instant::now();
        for error in errors(acquire(&fixture.manager, 100)).await {
            assert!(matches!(error, AcquireError::Unavailable(_)), "{error:?}");
        }
        assert_eq!(start.elapsed(), Duration::from_secs(30), "{kind:?}");
        assert_eq!(fixture.server.exchanges(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn g6_a_request_that_was_not_sent_is_repeated_and_loses_nothing() {
    for kind in KINDS {
        let fixture = Fixture::expired(kind).await;
        fixture.server.next(Act::NotSent);
        for error in errors(acquire(&fixture.manager, 100)).await {
            assert!(matches!(error, AcquireError::Unavailable(_)), "{error:?}");
        }
        pass(2).await;
        assert_eq!(all(acquire(&fixture.manager, 100)).await, "access-2");
        assert_eq!(fixture.server.exchanges(), 2, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn g7_a_refused_refresh_token_is_never_presented_again() {
    let fixture = Fixture::expired(Kind::User).await;
    fixture.server.next(Act::Refuse);
    for _ in 0..3 {
        for error in errors(acquire(&fixture.manager, 100)).await {
            assert!(matches!(error, AcquireError::ReauthRequired(_)), "{error:?}");
        }
        pass(100).await;
    }
    assert_eq!(fixture.manager.snapshot().state, TokenState::ReauthRequired);
    assert_eq!(fixture.server.exchanges(), 1);
    // Another process logs in: the store holds another refresh token.
    let token = fixture.another().login(&ScopeSet::default()).await.expect("a login");
    assert_eq!(all(acquire(&fixture.manager, 100)).await, token.expose_secret());
    pass(300).await;
    all(acquire(&fixture.manager, 100)).await;
    assert_eq!((fixture.server.most_presented(), fixture.server.state().refreshes), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn g7_a_refused_refresh_token_is_followed_by_an_acquisition_and_not_presented_again() {
    let fixture = Fixture::expired(Kind::Both).await;
    fixture.server.next(Act::Refuse);
    fixture.server.next(Act::Fail { retry_after: None });
    for error in errors(acquire(&fixture.manager, 100)).await {
        assert!(matches!(error, AcquireError::Unavailable(_)), "{error:?}");
    }
    let counts = || {
        let state = fixture.server.state();
        (state.refreshes, state.obtained)
    };
    assert_eq!(counts(), (1, 1));
    pass(2).await;
    assert_eq!(all(acquire(&fixture.another(), 100)).await, "access-2", "another process does not present it either");
    assert_eq!(counts(), (1, 2));
    pass(2).await;
    assert_eq!(all(acquire(&fixture.manager, 100)).await, "access-2");
    assert_eq!(counts(), (1, 2));
    let fixture = Fixture::expired(Kind::Both).await;
    fixture.server.next(Act::Refuse);
    assert_eq!(all(acquire(&fixture.manager, 100)).await, "access-2", "callers see nothing of it");
}

#[tokio::test(start_paused = true)]
async fn g7_a_failed_acquisition_after_a_restart_is_remembered_like_any_other() {
    let fixture = Fixture::expired(Kind::Both).await;
    fixture.server.next(Act::Refuse);
    fixture.server.always(Act::Fail { retry_after: Some(60) });
    let restarted = fixture.another();
    for _ in 0..2 {
        for error in errors(acquire(&restarted, 100)).await {
            assert!(matches!(error, AcquireError::Unavailable(_)), "{error:?}");
            assert!(error.retry_after().is_some());
        }
        pass(10).await;
    }
    let state = fixture.server.state();
    assert_eq!((state.refreshes, state.obtained), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn g7_a_failure_is_shared_and_remembered_and_the_server_is_left_alone_for_as_long_as_it_asks() {
    for kind in KINDS {
        let fixture = Fixture::expired(kind).await;
        fixture.server.next(Act::Fail { retry_after: Some(60) });
        for _ in 0..5 {
            for error in errors(acquire(&fixture.manager, 100)).await {
                assert!(matches!(error, AcquireError::Unavailable(_)), "{error:?}");
                assert!(error.retry_after().is_some());
            }
            assert!(matches!(fixture.manager.snapshot().state, TokenState::BackingOff(_)));
            pass(10).await;
        }
        assert_eq!(fixture.server.exchanges(), 1, "{kind:?}");
        pass(30).await;
        assert_eq!(all(acquire(&fixture.manager, 100)).await, "access-2");
    }
}

#[tokio::test(start_paused = true)]
async fn g7_failures_of_discovery_are_shared_and_remembered() {
    let fixture = Fixture::new(Kind::Client);
    fixture.server.state().resolve_acts.push_back(Act::Fail { retry_after: None });
    for _ in 0..2 {
        for error in errors(acquire(&fixture.manager, 100)).await {
            assert!(matches!(error, AcquireError::Unavailable(_)), "{error:?}");
        }
    }
    assert_eq!(fixture.server.state().resolved, 1);
    assert!(matches!(fixture.manager.snapshot().state, TokenState::BackingOff(_)));
    pass(2).await;
    assert_eq!(all(acquire(&fixture.manager, 100)).await, "access-1");
}

#[tokio::test(start_paused = true)]
async fn g8_only_a_refusal_asks_for_the_user_and_nothing_else_clears_anything() {
    for act in [Act::Fail { retry_after: None }, Act::NotSent, Act::LoseRequest, Act::Misconfigured, Act::Panic] {
        let fixture = Fixture::expired(Kind::User).await;
        fixture.server.next(act);
        let error = fixture.manager.acquire().await.expect_err("an error");
        match act {
            Act::Misconfigured => assert!(matches!(error, AcquireError::Config(_)), "{error:?}"),
            _ => assert!(matches!(error, AcquireError::Unavailable(_)), "{act:?}: {error:?}"),
        }
        pass(40).await;
        assert_eq!(all(acquire(&fixture.manager, 10)).await, "access-2", "{act:?}: the login is still there");
    }
    let fixture = Fixture::expired(Kind::User).await;
    fixture.refuse_reads(true);
    let error = fixture.manager.acquire().await.expect_err("an error");
    assert!(matches!(error, AcquireError::Store(_)), "{error:?}");
    fixture.refuse_reads(false);
    pass(40).await;
    assert_eq!(all(acquire(&fixture.manager, 10)).await, "access-2");
    let error = Fixture::new(Kind::User).manager.acquire().await.expect_err("an error");
    assert!(matches!(error, AcquireError::ReauthRequired(_)), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn g9_a_refusal_does_not_remove_the_tokens_of_another_login() {
    let fixture = Fixture::expired(Kind::User).await;
    fixture.server.state().latency = Duration::from_secs(10);
    fixture.server.next(Act::Refuse);
    let callers = acquire(&fixture.manager, 100);
    pass(1).await;
    fixture.server.state().latency = Duration::from_millis(20);
    let token = fixture.another().login(&ScopeSet::default()).await.expect("a login");
    assert_eq!(all(callers).await, token.expose_secret(), "the callers of the refused token get the new one");
    assert_eq!(all(acquire(&fixture.another(), 10)).await, token.expose_secret(), "and it is still stored");
    assert_eq!(fixture.server.state().refreshes, 1);
}

#[tokio::test(start_paused = true)]
async fn g9_a_login_supersedes_a_refresh_in_progress_in_this_process_and_in_others() {
    for elsewhere in [true, false] {
        let fixture = Fixture::expired(Kind::User).await;
        fixture.server.state().latency = Duration::from_secs(10);
        let callers = acquire(&fixture.manager, 100);
        pass(7).await;
        fixture.server.state().latency = Duration::from_millis(20);
        let manager = if elsewhere { fixture.another() } else { fixture.manager.clone() };
        let token = manager.login(&ScopeSet::default()).await.expect("a login");
        assert_eq!(all(callers).await, token.expose_secret());
        assert_eq!(all(acquire(&fixture.another(), 10)).await, token.expose_secret());
        assert_eq!(fixture.server.most_presented(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn g9_a_logout_ends_the_tokens_everywhere_and_a_login_in_progress_has_no_effect() {
    let (fixture, _) = Fixture::logged_in(Kind::User).await;
    fixture.server.state().latency = Duration::from_secs(10);
    let manager = fixture.manager.clone();
    let login = tokio::spawn(async move { manager.login(&ScopeSet::default()).await });
    pass(5).await;
    fixture.manager.logout().await.expect("logged out");
    assert!(matches!(login.await.expect("no panic"), Err(AcquireError::ReauthRequired(_))));
    for manager in [&fixture.manager, &fixture.another()] {
        for error in errors(acquire(manager, 10)).await {
            assert!(matches!(error, AcquireError::ReauthRequired(_)), "{error:?}");
        }
    }
    assert_eq!(fixture.manager.snapshot().state, TokenState::ReauthRequired);
}

#[tokio::test(start_paused = true)]
async fn g9_a_logout_during_the_save_of_a_login_leaves_nothing_in_the_store() {
    for is_retried in [false, true] {
        let fixture = Fixture::new(Kind::User);
        fixture.refuse_writes(is_retried);
        let slow = || fixture.slowness.store(5, Ordering::SeqCst);
        let manager = fixture.manager.clone();
        if !is_retried {
            slow();
        }
        let login = tokio::spawn(async move { manager.login(&ScopeSet::default()).await });
        if is_retried {
            pass_millis(500).await;
            fixture.refuse_writes(false);
            slow();
        }
        // The row is about to be written.
        pass(2).await;
        fixture.manager.logout().await.expect("logged out");
        pass(10).await;
        let result = login.await.expect("no panic");
        assert_eq!(result.is_ok(), is_retried, "it is used before it is saved");
        for manager in [&fixture.manager, &fixture.another()] {
            for error in errors(acquire(manager, 10)).await {
                assert!(matches!(error, AcquireError::ReauthRequired(_)), "{is_retried}: {error:?}");
            }
        }
        assert_eq!(fixture.manager.shutdown().await, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn g10_ten_processes_with_one_store_make_one_exchange() {
    for kind in KINDS {
        let fixture = Fixture::expired(kind).await;
        let others: Vec<_> = (0..9).map(|_| fixture.another()).collect();
        let mut callers = acquire(&fixture.manager, 10);
        callers.extend(others.iter().flat_map(|other| acquire(other, 10)));
        assert_eq!(all(callers).await, "access-2", "{kind:?}");
        assert_eq!((fixture.server.exchanges(), fixture.server.state().most_running), (1, 1));
    }
    let empty = Fixture::new(Kind::Client);
    let others: Vec<_> = (0..10).map(|_| empty.another()).collect();
    assert_eq!(all(others.iter().flat_map(|other| acquire(other, 10)).collect()).await, "access-1");
    assert_eq!(empty.server.exchanges(), 1, "the first tokens as well");
}

#[tokio::test(start_paused = true)]
async fn g10_a_refused_token_is_replaced_once_for_all_processes() {
    for kind in KINDS {
        let (fixture, token) = Fixture::logged_in(kind).await;
        let others: Vec<_> = (0..9).map(|_| fixture.another()).collect();
        for other in &others {
            assert_eq!(all(acquire(other, 1)).await, token.expose_secret());
        }
        let mut callers = report(&fixture.manager, &token, &invalid_token(), 10);
        callers.extend(others.iter().flat_map(|other| report(other, &token, &invalid_token(), 10)));
        assert_eq!(all(callers).await, "access-2", "{kind:?}");
        assert_eq!(fixture.server.exchanges(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn g10_a_login_elsewhere_replaces_the_tokens_of_an_earlier_one_without_an_exchange() {
    let (fixture, first) = Fixture::logged_in(Kind::User).await;
    let second = fixture.manager.rejected(&first, &invalid_token()).await.expect("a token");
    let other = fixture.another();
    other.logout().await.expect("logged out");
    let third = other.login(&ScopeSet::default()).await.expect("a login");
    // The numbers of the other process began anew, and those of this process go on.
    pass(11).await;
    let callers = report(&fixture.manager, &second, &invalid_token(), 100);
    assert_eq!(all(callers).await, third.expose_secret());
    let adopted = fixture.manager.acquire().await.expect("a token");
    assert!(adopted.generation() > second.generation());
    // A refresh of either process is seen by the other one.
    let fourth = other.rejected(&third, &invalid_token()).await.expect("a token");
    assert_eq!(all(report(&fixture.manager, &adopted, &invalid_token(), 100)).await, fourth.expose_secret());
    pass(300).await;
    let callers = acquire(&fixture.manager, 10).into_iter().chain(acquire(&other, 10)).collect();
    all(callers).await;
    let state = fixture.server.state();
    assert_eq!((state.refreshes, state.presented_after_result), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn g10_a_restart_uses_the_stored_tokens_without_the_network() {
    let (fixture, token) = Fixture::logged_in(Kind::User).await;
    fixture.server.state().resolve_acts.extend([Act::Fail { retry_after: None }; 10]);
    assert_eq!(all(acquire(&fixture.another(), 100)).await, token.expose_secret());
    pass(300).await;
    assert_eq!(all(acquire(&fixture.another(), 100)).await, "access-2", "a refresh needs no discovery");
    assert_eq!((fixture.server.exchanges(), fixture.server.state().resolved), (1, 0));
    // Another user of the same store is another binding.
    fixture.server.state().resolve_acts.clear();
    fixture.server.state().subject = Some("bob");
    for error in errors(acquire(&fixture.another(), 10)).await {
        assert!(matches!(error, AcquireError::ReauthRequired(_)), "{error:?}");
    }
}
