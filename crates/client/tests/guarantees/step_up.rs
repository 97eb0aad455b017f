//! G12 to G14: the key of tokens, bounded retries, and step-ups.

use std::time::Duration;

use portcullis_client::{AccessToken, AcquireError, Challenge, ScopeSet, TokenState};
use tokio::time::Instant;

use crate::{
    fixture::{Fixture, acquire, acquire_for, all, errors, join, pass, report, scopes_of},
    server::{Act, Kind, invalid_token},
};

#[tokio::test(start_paused = true)]
async fn g12_tokens_are_kept_by_the_whole_binding() {
    let (fixture, token) = Fixture::logged_in(Kind::Client).await;
    for change in ["subject", "issuer"] {
        match change {
            "subject" => fixture.server.state().subject = Some("bob"),
            _ => fixture.server.state().issuer = "https://other.example".to_owned(),
        }
        let other = fixture.another().acquire().await.expect("a token");
        assert_ne!(other.expose_secret(), token.expose_secret(), "another {change}");
    }
    assert_eq!(fixture.server.exchanges(), 2);
}

#[tokio::test(start_paused = true)]
async fn g12_a_resource_that_moves_to_another_authorization_server_gets_tokens_of_that_one_only() {
    let (fixture, first) = Fixture::logged_in(Kind::Both).await;
    fixture.server.state().issuer = "https://other.example".to_owned();
    let moved = invalid_token().with("resource_metadata", "https://mcp.example/moved");
    let callers = report(&fixture.manager, &first, &moved, 100);
    let text = all(callers).await;
    {
        let state = fixture.server.state();
        let counts = (state.refreshes, state.obtained, state.resolved);
        assert_eq!(counts, (0, 1, 1), "the refresh token of the old one stays");
    }
    let binding = fixture.manager.snapshot().binding.expect("resolved");
    assert_eq!((binding.issuer.as_str(), text.as_str()), ("https://other.example", "access-2"));
    // The same document again is no news.
    drop(join(report(&fixture.manager, &first, &moved, 100)).await);
    assert_eq!(fixture.server.state().resolved, 1);
}

#[tokio::test(start_paused = true)]
async fn g12_a_resource_that_moves_often_is_remembered_within_bounds() {
    let (fixture, first) = Fixture::logged_in(Kind::Client).await;
    let move_to = async |issuer: &str, token: &AccessToken| {
        fixture.server.state().issuer = issuer.to_owned();
        let moved = invalid_token().with("resource_metadata", &format!("{issuer}/of-the-resource"));
        fixture.manager.rejected(token, &moved).await.expect("a token")
    };
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let (before, mut token) = (tasks(), first.clone());
    for number in 0..30 {
        token = move_to(&format!("https://as-{number}.example"), &token).await;
    }
    pass(1).await;
    assert!(tasks() <= before + 8, "{} tasks, {before} before", tasks());
    let back = move_to("https://as.example", &token).await;
    assert_eq!(back.expose_secret(), first.expose_secret(), "its tokens are in the store");
    assert_eq!(fixture.server.exchanges(), 30);
}

#[tokio::test(start_paused = true)]
async fn g13_a_new_token_that_is_refused_at_once_causes_no_further_exchange() {
    for kind in [Kind::User, Kind::Client, Kind::Both] {
        let (fixture, first) = Fixture::logged_in(kind).await;
        let second = fixture.manager.rejected(&first, &invalid_token()).await.expect("a token");
        for error in errors(report(&fixture.manager, &second, &invalid_token(), 100)).await {
            assert!(matches!(error, AcquireError::Unavailable(_)), "{error:?}");
            assert!(error.retry_after().is_some());
        }
        assert_eq!(fixture.server.exchanges(), 1, "{kind:?}");
        assert_eq!(all(acquire(&fixture.manager, 10)).await, second.expose_secret(), "other requests may be accepted");
        pass(11).await;
        assert_eq!(all(report(&fixture.manager, &second, &invalid_token(), 100)).await, "access-3");
        assert_eq!(fixture.server.exchanges(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn g14_a_step_up_requests_the_union_once_for_all_callers() {
    for kind in [Kind::User, Kind::Client, Kind::Both] {
        let (fixture, _) = Fixture::logged_in(kind).await;
        let manager = fixture.builder().with_login_on_demand().build();
        assert_eq!(all(acquire_for(&manager, "write", 100)).await, "access-2", "{kind:?}");
        assert_eq!(fixture.server.exchanges(), 1);
        assert_eq!(fixture.server.state().asked[0], scopes_of("read write"));
        assert_eq!(manager.snapshot().scopes, scopes_of("read write"));
        // A caller whose scopes are covered waits for nothing; one with others asks for the union of all.
        assert_eq!(all(acquire_for(&manager, "read", 100)).await, "access-2");
        assert_eq!(all(acquire_for(&manager, "admin write", 100)).await, "access-3");
        assert_eq!(fixture.server.state().asked[1], scopes_of("read write admin"));
    }
}

#[tokio::test(start_paused = true)]
async fn g14_callers_with_different_scopes_end_with_all_of_them() {
    let (fixture, _) = Fixture::logged_in(Kind::Client).await;
    let mut callers = acquire_for(&fixture.manager, "write", 50);
    callers.extend(acquire_for(&fixture.manager, "admin", 50));
    callers.extend(acquire_for(&fixture.manager, "read write", 50));
    assert!(join(callers).await.iter().all(Result::is_ok));
    assert_eq!(fixture.server.exchanges(), 2);
    assert_eq!(fixture.manager.snapshot().scopes, scopes_of("read write admin"));
}

#[tokio::test(start_paused = true)]
async fn g14_without_leave_to_ask_the_user_the_scopes_are_the_answer() {
    let (fixture, token) = Fixture::logged_in(Kind::User).await;
    for error in errors(acquire_for(&fixture.manager, "write", 100)).await {
        let AcquireError::StepUpRequired { scopes } = error else { panic!("{error:?}") };
        assert_eq!(scopes, scopes_of("read write"));
    }
    assert_eq!(fixture.server.exchanges(), 0);
    // The application asks the user, and the token has what it had.
    let stepped_up = fixture.manager.login(&scopes_of("write")).await.expect("a login");
    assert!(stepped_up.generation() > token.generation());
    assert_eq!(fixture.server.state().asked[0], scopes_of("read write"));
    assert_eq!(all(acquire_for(&fixture.manager, "write", 100)).await, stepped_up.expose_secret());
}

#[tokio::test(start_paused = true)]
async fn g14_a_repeat_without_new_scopes_is_a_permanent_failure() {
    for kind in [Kind::User, Kind::Client] {
        let (fixture, _) = Fixture::logged_in(kind).await;
        fixture.server.state().withheld = scopes_of("admin");
        let manager = fixture.builder().with_login_on_demand().build();
        for _ in 0..3 {
            for error in errors(acquire_for(&manager, "admin", 100)).await {
                assert!(matches!(error, AcquireError::StepUpRequired { .. }), "{error:?}");
            }
            pass(60).await;
        }
        assert_eq!(fixture.server.exchanges(), 1, "{kind:?}");
        assert!(manager.acquire_for(&scopes_of("write")).await.is_ok(), "new scopes are requested");
        assert_eq!(manager.snapshot().state, TokenState::Fresh);
        // The application may ask again.
        fixture.server.state().withheld = ScopeSet::default();
        manager.login(&scopes_of("admin")).await.expect("a login");
        assert!(manager.acquire_for(&scopes_of("admin")).await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn g14_a_user_who_declines_is_not_asked_again_at_once_and_keeps_the_token() {
    let (fixture, _) = Fixture::logged_in(Kind::User).await;
    let manager = fixture.builder().with_login_on_demand().build();
    let token = manager.acquire().await.expect("a token");
    fixture.server.next(Act::Refuse);
    for _ in 0..2 {
        for error in errors(acquire_for(&manager, "write", 100)).await {
            assert!(matches!(error, AcquireError::StepUpRequired { .. }), "{error:?}");
        }
    }
    assert_eq!(fixture.server.exchanges(), 1);
    assert_eq!(all(acquire(&manager, 100)).await, token.expose_secret());
}

#[tokio::test(start_paused = true)]
async fn g14_a_login_never_holds_up_a_refresh_and_supersedes_it() {
    let (fixture, _) = Fixture::logged_in(Kind::User).await;
    pass(299).await;
    fixture.server.state().latency = Duration::from_secs(60);
    let manager = fixture.manager.clone();
    let login = tokio::spawn(async move { manager.login(&scopes_of("write")).await });
    pass(2).await;
    fixture.server.state().latency = Duration::from_millis(20);
    let start = Instant::now();
    let refreshed = all(acquire(&fixture.manager, 100)).await;
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    let stepped_up = login.await.expect("no panic").expect("a login");
    assert_ne!(stepped_up.expose_secret(), refreshed);
    assert_eq!(all(acquire(&fixture.manager, 100)).await, stepped_up.expose_secret());
}

#[tokio::test(start_paused = true)]
async fn g14_the_scopes_of_a_step_up_outlive_the_process_and_the_token() {
    for kind in [Kind::User, Kind::Client] {
        let (fixture, _) = Fixture::logged_in(kind).await;
        fixture.manager.login(&scopes_of("write")).await.expect("a login");
        let other = fixture.builder().with_login_on_demand().build();
        assert!(other.acquire_for(&scopes_of("admin")).await.is_ok());
        let asked = fixture.server.state().asked.last().cloned();
        assert_eq!(asked, Some(scopes_of("read write admin")), "{kind:?}");
        pass(300).await;
        assert!(other.acquire_for(&scopes_of("read write admin")).await.is_ok());
        assert_eq!(other.snapshot().scopes, scopes_of("read write admin"));
    }
}

#[tokio::test(start_paused = true)]
async fn g14_a_login_on_demand_is_one_for_all_callers_and_names_the_scopes_of_the_challenge() {
    let fixture = Fixture::new(Kind::User);
    let manager = fixture.builder().with_login_on_demand().build();
    let challenge = Challenge::bearer().with("scope", "files");
    let callers = (0..100).map(|_| {
        let (manager, challenge) = (manager.clone(), challenge.clone());
        tokio::spawn(async move { manager.challenged(&challenge).await })
    });
    assert_eq!(all(callers.collect()).await, "access-1");
    assert_eq!(fixture.server.state().asked, [scopes_of("read files")]);
    let fixture = Fixture::new(Kind::Client);
    fixture.manager.challenged(&challenge).await.expect("a token");
    assert_eq!(fixture.server.state().asked, [scopes_of("read files")], "with the first request");
}

#[tokio::test(start_paused = true)]
async fn g14_the_scopes_of_a_challenge_are_requested_until_the_next_challenge_or_the_next_answer() {
    let challenge = |scope| Challenge::bearer().with("scope", scope);
    let fixture = Fixture::new(Kind::User);
    for scope in ["files", "logs"] {
        fixture.manager.challenged(&challenge(scope)).await.expect_err("no user is asked");
    }
    fixture.server.next(Act::Refuse);
    fixture.manager.login(&ScopeSet::default()).await.expect_err("the user declines");
    fixture.manager.login(&ScopeSet::default()).await.expect("a login");
    assert_eq!(fixture.server.state().asked, [scopes_of("read logs"), scopes_of("read")]);
    for (act, then) in [(Act::Misconfigured, "read"), (Act::Fail { retry_after: None }, "read files")] {
        let fixture = Fixture::new(Kind::Client);
        fixture.server.next(act);
        fixture.manager.challenged(&challenge("files")).await.expect_err("no token");
        pass(40).await;
        fixture.manager.acquire().await.expect("a token");
        assert_eq!(fixture.server.state().asked, [scopes_of("read files"), scopes_of(then)], "{act:?}");
    }
}
