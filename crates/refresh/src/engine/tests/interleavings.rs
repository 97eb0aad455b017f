//! The engine itself under many interleavings of its tasks and callers: reports, results, panics, ends, dropped callers, a stopped
//! runtime, another process.

use portcullis_core::{AccessToken, AuthError, Reason, Upstream};
use shuttle::future::{JoinHandle, block_on, spawn};

use super::{
    fixture::LIFETIME,
    model::{Answer, GRANT, Model, explore, tokens},
};

type Outcome = Result<AccessToken, AuthError>;

/// Asks on `count` tasks.
fn ask(upstream: &Upstream, count: usize) -> Vec<JoinHandle<Outcome>> {
    let ask = |_| {
        let upstream = upstream.clone();
        spawn(async move { upstream.access_token().await })
    };
    (0..count).map(ask).collect()
}

/// Reports `token` on `count` tasks.
fn report(upstream: &Upstream, token: &AccessToken, count: usize) -> Vec<JoinHandle<Outcome>> {
    let report = |_| {
        let (upstream, token) = (upstream.clone(), token.clone());
        spawn(async move { upstream.rejected(&token).await })
    };
    (0..count).map(report).collect()
}

async fn join(callers: Vec<JoinHandle<Outcome>>) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for caller in callers {
        outcomes.push(caller.await.expect("no caller panics"));
    }
    outcomes
}

fn generation(outcome: &Outcome) -> u64 {
    outcome.as_ref().expect("a token").generation().number()
}

#[test]
fn reports_of_one_token_cause_one_refresh_whatever_their_order() {
    explore(|| {
        block_on(async {
            let model = Model::new(Answer::NewTokens).await;
            let upstream = model.refresher.upstream(GRANT);
            let token = upstream.access_token().await.expect("fresh");
            for outcome in join(report(&upstream, &token, 4)).await {
                assert_eq!(generation(&outcome), 1);
            }
            assert_eq!((model.provider.requests(), model.store.leases(), model.stored().await), (1, 1, Some(1)));
        });
    });
}

#[test]
fn callers_of_an_expired_token_share_one_refresh_that_is_saved_before_they_see_it() {
    explore(|| {
        block_on(async {
            let model = Model::expired(Answer::NewTokens).await;
            let upstream = model.refresher.upstream(GRANT);
            let callers: Vec<_> = ask(&upstream, 3);
            for caller in callers {
                let outcome = caller.await.expect("no caller panics");
                assert_eq!((generation(&outcome), model.stored().await), (1, Some(1)));
            }
            assert_eq!((model.provider.requests(), model.store.leases()), (1, 1));
        });
    });
}

#[test]
fn callers_of_an_early_token_do_not_wait_and_one_refresh_runs() {
    explore(|| {
        block_on(async {
            let model = Model::new(Answer::NewTokens).await;
            model.clock.advance(LIFETIME.mul_f64(0.95));
            let outcomes = join(ask(&model.refresher.upstream(GRANT), 3)).await;
            assert!(outcomes.iter().all(Result::is_ok));
            assert_eq!(model.refresher.shutdown().await, 0);
            assert_eq!((model.provider.requests(), model.store.leases(), model.stored().await), (1, 1, Some(1)));
        });
    });
}

#[test]
fn a_failure_of_any_kind_is_the_answer_to_every_caller_and_is_not_repeated() {
    for answer in [Answer::Unavailable, Answer::Refusal, Answer::Lost, Answer::Panic] {
        explore(move || {
            block_on(async {
                let model = Model::expired(answer).await;
                let upstream = model.refresher.upstream(GRANT);
                for outcome in join(ask(&upstream, 4)).await {
                    let error = outcome.expect_err("there is no token");
                    assert_eq!(error.is_transient(), answer != Answer::Refusal);
                }
                assert_eq!(model.provider.requests(), 1);
                let is_revoked = upstream.revocation().is_some_and(|revocation| revocation.is_revoked());
                assert_eq!(is_revoked, answer == Answer::Refusal);
                assert_eq!(model.stored().await.is_none(), answer == Answer::Refusal);
            });
        });
    }
}

#[test]
fn a_dropped_caller_neither_cancels_nor_repeats_a_refresh() {
    explore(|| {
        block_on(async {
            let model = Model::expired(Answer::NewTokens).await;
            let upstream = model.refresher.upstream(GRANT);
            let callers = ask(&upstream, 3);
            for caller in &callers[..2] {
                caller.abort();
            }
            drop(callers);
            assert_eq!(generation(&upstream.access_token().await), 1);
            assert_eq!((model.provider.requests(), model.stored().await), (1, Some(1)));
        });
    });
}

#[test]
fn a_runtime_that_stops_at_any_point_leaves_no_caller_waiting_and_no_token_presented_twice() {
    explore(|| {
        block_on(async {
            let model = Model::expired(Answer::NewTokens).await;
            let upstream = model.refresher.upstream(GRANT);
            let callers = ask(&upstream, 3);
            shuttle::future::yield_now().await;
            model.stop_runtime();
            for outcome in join(callers).await {
                match outcome {
                    Ok(token) => assert_eq!(token.generation().number(), 1),
                    Err(error) => assert!(error.is_transient(), "{error:?}"),
                }
            }
            // The state is consistent: the refresh completed, cools down, or is started anew because it was never polled.
            drop(upstream.access_token().await);
            let _: usize = model.provider.requests();
        });
    });
}

#[test]
fn no_caller_gets_tokens_of_a_grant_that_was_deleted_before_it_asked() {
    explore(|| {
        block_on(async {
            let model = Model::expired(Answer::NewTokens).await;
            let upstream = model.refresher.upstream(GRANT);
            let callers = ask(&upstream, 2);
            drop(model.refresher.delete(GRANT).await.expect("the store can be written"));
            let error = upstream.access_token().await.expect_err("the grant has ended");
            assert_eq!(error.reason(), Reason::GrantEnded);
            for outcome in join(callers).await {
                assert!(outcome.is_ok_and(|token| token.generation().number() == 1) || upstream_is_revoked(&upstream));
            }
            assert_eq!(model.refresher.shutdown().await, 0);
            assert_eq!(model.stored().await, None, "a refresh in progress does not bring the row back");
            assert!(model.provider.requests() <= 1);
        });
    });
}

fn upstream_is_revoked(upstream: &Upstream) -> bool {
    upstream.revocation().is_some_and(|revocation| revocation.is_revoked())
}

#[test]
fn callers_of_an_earlier_login_never_see_the_tokens_of_a_later_one() {
    explore(|| {
        block_on(async {
            let model = Model::expired(Answer::NewTokens).await;
            let earlier = model.refresher.upstream(GRANT);
            let callers = ask(&earlier, 2);
            drop(model.refresher.delete(GRANT).await.expect("the store can be written"));
            model.clock.advance(LIFETIME);
            model.refresher.create(GRANT, tokens(&model.clock, "second login")).await.expect("a new grant");
            let later = model.refresher.upstream(GRANT);
            let expires_at = later.access_token().await.expect("fresh").expires_at();
            for outcome in join(callers).await {
                assert!(outcome.is_err() || outcome.is_ok_and(|token| token.expires_at() < expires_at));
            }
            assert!(earlier.access_token().await.is_err());
            assert_eq!(generation(&later.access_token().await), 0, "nor the later login those of the earlier");
            assert_eq!(model.stored().await, Some(0));
            assert!(model.provider.requests() <= 1);
        });
    });
}

#[test]
fn two_processes_with_one_store_cause_one_refresh() {
    explore(|| {
        block_on(async {
            let model = Model::expired(Answer::NewTokens).await;
            let other = model.another();
            let mut callers = ask(&model.refresher.upstream(GRANT), 2);
            callers.extend(ask(&other.upstream(GRANT), 2));
            for outcome in join(callers).await {
                assert_eq!(generation(&outcome), 1);
            }
            assert_eq!((model.provider.requests(), model.stored().await), (1, Some(1)));
        });
    });
}

#[test]
fn tokens_that_cannot_be_saved_are_used_and_saved_later_without_another_refresh() {
    explore(|| {
        block_on(async {
            let model = Model::expired(Answer::NewTokens).await;
            let upstream = model.refresher.upstream(GRANT);
            model.store.refuse_writes(true);
            let callers = ask(&upstream, 2);
            assert_eq!(generation(&upstream.access_token().await), 1);
            model.store.refuse_writes(false);
            for outcome in join(callers).await {
                assert_eq!(generation(&outcome), 1);
            }
            assert_eq!(model.refresher.shutdown().await, 0, "nothing is lost");
            assert_eq!((model.provider.requests(), model.stored().await), (1, Some(1)));
        });
    });
}

#[test]
fn callers_of_a_client_without_tokens_share_one_acquisition_in_all_processes() {
    explore(|| {
        block_on(async {
            let model = Model::without_user(Answer::NewTokens);
            let other = model.another_client();
            let mut callers = ask(&model.refresher.upstream(GRANT), 2);
            callers.extend(ask(&other.upstream(GRANT), 2));
            for outcome in join(callers).await {
                assert_eq!(generation(&outcome), 0);
            }
            assert_eq!((model.provider.acquisitions(), model.provider.requests()), (1, 0));
            assert_eq!(model.stored().await, Some(0));
        });
    });
}

#[test]
fn a_refused_refresh_token_of_a_client_is_followed_by_one_acquisition() {
    explore(|| {
        block_on(async {
            let model = Model::without_user(Answer::Refusal);
            model.log_in("first login").await;
            model.clock.advance(LIFETIME);
            let other = model.another_client();
            let mut callers = ask(&model.refresher.upstream(GRANT), 2);
            callers.extend(ask(&other.upstream(GRANT), 2));
            for outcome in join(callers).await {
                assert_eq!(generation(&outcome), 1);
            }
            assert_eq!((model.provider.acquisitions(), model.provider.requests()), (1, 1));
            assert_eq!(model.stored().await, Some(1));
        });
    });
}

#[test]
fn a_login_supersedes_a_refresh_in_progress_whatever_becomes_of_it() {
    for answer in [Answer::NewTokens, Answer::Unavailable, Answer::Refusal, Answer::Lost, Answer::Panic] {
        explore(move || {
            block_on(async {
                let model = Model::of_user(answer).await;
                let callers = ask(&model.refresher.upstream(GRANT), 2);
                let login = model.log_in("second login").await;
                drop(join(callers).await);
                let token = model.refresher.upstream(GRANT).access_token().await.expect("the login is not undone");
                assert!(token.generation() >= login.generation());
                assert_eq!(model.refresher.shutdown().await, 0);
                let stored = model.grants.load(GRANT).await.expect("the store can be read").expect("a row");
                assert_eq!(stored.record.tokens().extra().get("login"), Some(&"second login".into()));
                assert_eq!(stored.record.tokens().generation(), token.generation());
                assert!(model.provider.requests() <= 1);
            });
        });
    }
}

#[test]
fn a_logout_and_a_login_leave_one_state() {
    explore(|| {
        block_on(async {
            let model = Model::of_user(Answer::NewTokens).await;
            let callers = ask(&model.refresher.upstream(GRANT), 2);
            let refresher = model.refresher.clone();
            let logout = spawn(async move { refresher.delete(GRANT).await.map(drop).is_ok() });
            drop(model.complete(model.refresher.client_grant(GRANT).begin_login(), "second login").await);
            assert!(logout.await.expect("no panic"));
            drop(join(callers).await);
            let token = model.refresher.upstream(GRANT).access_token().await;
            // Whichever came last counts, for this process and for the store.
            assert_eq!(token.is_ok(), model.stored().await.is_some());
            assert!(model.provider.requests() <= 1);
        });
    });
}

#[test]
fn a_login_that_was_begun_before_a_logout_has_no_effect_after_it() {
    explore(|| {
        block_on(async {
            let model = Model::of_user(Answer::NewTokens).await;
            let login = model.refresher.client_grant(GRANT).begin_login();
            let refresher = model.refresher.clone();
            let logout = spawn(async move { refresher.delete(GRANT).await.map(drop).is_ok() });
            drop(model.complete(login, "second login").await);
            assert!(logout.await.expect("no panic"));
            assert!(model.refresher.upstream(GRANT).access_token().await.is_err());
            assert_eq!(model.stored().await, None);
        });
    });
}
