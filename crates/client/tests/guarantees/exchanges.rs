//! G1 to G4: one exchange for all callers, by generation, without a wait on a good token, on a task that no caller can cancel.

use std::time::Duration;

use portcullis_client::{AccessToken, ScopeSet, TokenState};
use tokio::time::Instant;

use crate::{
    fixture::{Fixture, acquire, acquire_for, all, errors, join, pass, pass_millis, report},
    server::{Act, Kind, invalid_token},
};

const KINDS: [Kind; 3] = [Kind::User, Kind::Client, Kind::Both];

#[tokio::test(start_paused = true)]
async fn g1_a_hundred_callers_of_an_expired_token_cause_one_exchange() {
    for kind in KINDS {
        let fixture = Fixture::expired(kind).await;
        assert_eq!(all(acquire(&fixture.manager, 100)).await, "access-2");
        assert_eq!((fixture.server.exchanges(), fixture.server.state().most_running), (1, 1), "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn g1_a_hundred_callers_without_a_token_cause_one_resolution_and_one_exchange() {
    for kind in [Kind::Client, Kind::Both] {
        let fixture = Fixture::new(kind);
        assert_eq!(all(acquire(&fixture.manager, 100)).await, "access-1");
        let state = fixture.server.state();
        assert_eq!((state.resolved, state.obtained, state.refreshes), (1, 1, 0));
        assert_eq!(state.asked[0].to_string(), "read");
    }
}

#[tokio::test(start_paused = true)]
async fn g1_a_refused_token_causes_one_exchange_whatever_the_number_of_reports() {
    for kind in KINDS {
        let (fixture, token) = Fixture::logged_in(kind).await;
        assert_eq!(all(report(&fixture.manager, &token, &invalid_token(), 100)).await, "access-2");
        assert_eq!(fixture.server.exchanges(), 1, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn g1_a_step_up_without_a_user_is_one_exchange_and_none_runs_beside_it() {
    let fixture = Fixture::expired(Kind::Client).await;
    let mut callers = acquire_for(&fixture.manager, "write", 100);
    callers.extend(acquire(&fixture.manager, 100));
    for result in join(callers).await {
        assert!(result.is_ok());
    }
    let state = fixture.server.state();
    assert_eq!((state.obtained, state.most_running), (2, 1), "one for the expiry, one for the scopes");
    assert_eq!(state.asked[1].to_string(), "read write");
}

#[tokio::test(start_paused = true)]
async fn g1_an_expired_token_and_a_step_up_in_progress_share_one_exchange() {
    let (fixture, _) = Fixture::logged_in(Kind::Client).await;
    fixture.server.state().latency = Duration::from_secs(10);
    pass(295).await;
    fixture.server.state().lifetime = Some(Duration::from_secs(300));
    let stepping_up = acquire_for(&fixture.manager, "write", 1);
    pass(6).await;
    assert_eq!(all(acquire(&fixture.manager, 100)).await, all(stepping_up).await);
    assert_eq!(fixture.server.state().most_running, 1);
}

#[tokio::test(start_paused = true)]
async fn g2_stale_reports_cause_no_exchange_in_any_order_and_at_any_delay() {
    for kind in KINDS {
        let (fixture, first) = Fixture::logged_in(kind).await;
        let second = fixture.manager.rejected(&first, &invalid_token()).await.expect("a token");
        pass(20).await;
        let third = fixture.manager.rejected(&second, &invalid_token()).await.expect("a token");
        for stale in [&first, &second, &first] {
            assert_eq!(all(report(&fixture.manager, stale, &invalid_token(), 50)).await, third.expose_secret());
            pass(60).await;
        }
        assert_eq!(fixture.server.exchanges(), 2, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn g2_a_token_of_another_login_with_the_same_number_is_stale() {
    let (fixture, token) = Fixture::logged_in(Kind::User).await;
    let (other, _) = Fixture::logged_in(Kind::Both).await;
    other.server.state().last = 77;
    let other = other.manager.rejected(&other.manager.acquire().await.expect("a token"), &invalid_token()).await;
    let other = other.expect("a token");
    let same_number = AccessToken::new(other.token().clone(), token.generation(), None);
    assert_eq!(all(report(&fixture.manager, &same_number, &invalid_token(), 10)).await, token.expose_secret());
    let later_number = AccessToken::new(other.token().clone(), token.generation().next(), None);
    assert_eq!(all(report(&fixture.manager, &later_number, &invalid_token(), 10)).await, token.expose_secret());
    assert!(!fixture.manager.invalidate_if(&same_number));
    assert_eq!(fixture.server.exchanges(), 0);
}

#[tokio::test(start_paused = true)]
async fn g2_reports_about_tokens_of_an_earlier_login_mean_nothing_after_the_next_one() {
    let (fixture, first) = Fixture::logged_in(Kind::User).await;
    let second = fixture.manager.rejected(&first, &invalid_token()).await.expect("a token");
    fixture.manager.logout().await.expect("logged out");
    let third = fixture.log_in().await;
    assert!(third.generation() > second.generation(), "the numbers go on");
    for stale in [&first, &second] {
        assert_eq!(all(report(&fixture.manager, stale, &invalid_token(), 10)).await, third.expose_secret());
    }
    assert_eq!(fixture.server.exchanges(), 0);
}

#[tokio::test(start_paused = true)]
async fn g2_only_the_current_token_is_invalidated() {
    let (fixture, first) = Fixture::logged_in(Kind::Both).await;
    assert!(fixture.manager.invalidate_if(&first));
    assert_eq!(fixture.manager.snapshot().state, TokenState::Stale);
    assert_eq!(fixture.server.exchanges(), 0, "nothing is requested before a caller needs it");
    assert_eq!(all(acquire(&fixture.manager, 100)).await, "access-2");
    assert!(!fixture.manager.invalidate_if(&first));
    assert_eq!(all(acquire(&fixture.manager, 100)).await, "access-2");
    assert_eq!(fixture.server.exchanges(), 1);
}

#[tokio::test(start_paused = true)]
async fn g3_no_caller_waits_for_an_early_exchange_nor_sees_its_failure() {
    for kind in KINDS {
        let (fixture, first) = Fixture::logged_in(kind).await;
        fixture.server.state().latency = Duration::from_secs(2);
        fixture.server.always(Act::Fail { retry_after: None });
        pass(270).await;
        let start = Instant::now();
        for _ in 0..5 {
            assert_eq!(all(acquire(&fixture.manager, 100)).await, first.expose_secret());
        }
        assert_eq!(start.elapsed(), Duration::ZERO, "{kind:?}");
        pass_millis(2001).await;
        assert_eq!(fixture.server.exchanges(), 1, "one exchange, which failed");
        assert_eq!(all(acquire(&fixture.manager, 100)).await, first.expose_secret());
    }
}

#[tokio::test(start_paused = true)]
async fn g3_a_good_token_is_had_without_the_store_and_without_a_suspension() {
    use futures_util::FutureExt as _;
    let (fixture, token) = Fixture::logged_in(Kind::User).await;
    fixture.refuse_reads(true);
    let now = fixture.manager.acquire().now_or_never().expect("ready at once").expect("a token");
    assert_eq!(now.expose_secret(), token.expose_secret());
}

#[tokio::test(start_paused = true)]
async fn g4_an_exchange_outlives_all_its_callers_and_is_not_repeated() {
    for kind in KINDS {
        let fixture = Fixture::expired(kind).await;
        let callers = acquire(&fixture.manager, 100);
        pass_millis(5).await;
        callers.iter().for_each(tokio::task::JoinHandle::abort);
        drop(callers);
        assert_eq!(fixture.manager.shutdown().await, 0, "it is waited for");
        assert_eq!(all(acquire(&fixture.another(), 10)).await, "access-2", "{kind:?}: its tokens are saved");
        assert_eq!(fixture.server.exchanges(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn g4_a_shutdown_waits_for_an_authorization_code_that_was_sent_and_not_for_the_user() {
    // The user takes ten seconds, and so does the exchange of the code.
    for (act, after, takes) in [(Act::Answer, 5, 0), (Act::Answer, 15, 5), (Act::Hang, 15, 30)] {
        let fixture = Fixture::new(Kind::User);
        fixture.server.state().latency = Duration::from_secs(20);
        fixture.server.next(act);
        let manager = fixture.manager.clone();
        let login = tokio::spawn(async move { manager.login(&ScopeSet::default()).await });
        pass(after).await;
        let start = Instant::now();
        assert_eq!(fixture.manager.shutdown().await, 0);
        assert_eq!(start.elapsed().as_secs(), takes, "{act:?} {after}");
        let is_complete = login.await.expect("no panic").is_ok();
        assert_eq!(is_complete, takes == 5);
        assert_eq!(fixture.another().acquire().await.is_ok(), is_complete, "the tokens are saved");
    }
}

#[tokio::test(start_paused = true)]
async fn g4_a_grant_that_panics_is_a_failed_exchange() {
    for kind in KINDS {
        let fixture = Fixture::expired(kind).await;
        fixture.server.next(Act::Panic);
        assert_eq!(errors(acquire(&fixture.manager, 100)).await.len(), 100);
        pass(40).await;
        assert_eq!(all(acquire(&fixture.manager, 100)).await, "access-2", "{kind:?}");
    }
}

#[test]
fn g4_callers_outside_of_the_runtime_are_served_by_it() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().expect("a runtime");
    let fixture = runtime.block_on(async { Fixture::new(Kind::Client) });
    let callers = (0..8).map(|_| {
        let manager = fixture.manager.clone();
        std::thread::spawn(move || futures_util::FutureExt::now_or_never(async {}).map(|()| block_on(&manager)))
    });
    let tokens: Vec<_> = callers.collect();
    for token in tokens {
        assert_eq!(token.join().expect("no panic").expect("ready"), "access-1");
    }
    assert_eq!(fixture.server.exchanges(), 1);
}

/// Waits on a thread without a runtime.
fn block_on(manager: &portcullis_client::TokenManager) -> String {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime without a clock")
        .block_on(async { manager.acquire().await.expect("a token").expose_secret().to_owned() })
}
