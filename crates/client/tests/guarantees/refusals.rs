//! What is asked of the user and of the metadata while the resource refuses every token, or the user declines.

use std::time::Duration;

use portcullis_client::AcquireError;
use tokio::time::Instant;

use crate::{
    fixture::{Fixture, acquire, acquire_for, all, errors, join, pass, pass_millis, report, scopes_of},
    server::{Act, Kind, invalid_token},
};

/// A server without refresh tokens: only the user can replace a token.
fn without_refresh_tokens() -> Fixture {
    let fixture = Fixture::new(Kind::User);
    fixture.server.always(Act::OmitRefreshToken);
    fixture
}

#[tokio::test(start_paused = true)]
async fn g13_a_browser_is_not_opened_again_and_again_for_new_tokens_that_are_refused() {
    let fixture = without_refresh_tokens();
    let manager = fixture.builder().with_login_on_demand().build();
    let mut token = manager.acquire().await.expect("a token");
    let (start, mut logins) = (Instant::now(), Vec::new());
    while start.elapsed() < Duration::from_mins(10) {
        for result in join(report(&manager, &token, &invalid_token(), 20)).await {
            match result {
                Ok(new) if new.generation() > token.generation() => {
                    logins.push(start.elapsed().as_secs());
                    token = new;
                }
                Ok(_) => {}
                Err(error) => {
                    assert!(matches!(error, AcquireError::Unavailable(_)), "{error:?}");
                    assert!(error.retry_after().is_some());
                    assert_eq!(all(acquire(&manager, 1)).await, token.expose_secret(), "others may be accepted");
                }
            }
        }
        pass(1).await;
    }
    let pauses: Vec<_> = logins.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!((logins.first(), pauses.as_slice()), (Some(&10), &[20, 40, 80, 160][..]), "{logins:?}");
}

#[tokio::test(start_paused = true)]
async fn g13_a_token_that_is_refused_later_is_replaced_by_a_login_at_once() {
    let fixture = without_refresh_tokens();
    let manager = fixture.builder().with_login_on_demand().build();
    let first = manager.acquire().await.expect("a token");
    pass(11).await;
    assert_eq!(all(report(&manager, &first, &invalid_token(), 100)).await, "access-2");
    assert_eq!(fixture.server.state().obtained, 2);
}

#[tokio::test(start_paused = true)]
async fn g13_a_resource_that_refuses_every_token_has_its_metadata_fetched_once_per_ten_seconds() {
    let (fixture, first) = Fixture::logged_in(Kind::Client).await;
    let second = fixture.manager.rejected(&first, &invalid_token()).await.expect("a token");
    for _ in 0..90 {
        errors(report(&fixture.manager, &second, &invalid_token(), 10)).await;
        pass_millis(100).await;
    }
    assert_eq!(fixture.server.state().resolved, 1);
    // It has moved: the next look finds it, and callers that do not look themselves find it as well.
    pass(2).await;
    let third = fixture.manager.rejected(&second, &invalid_token()).await.expect("a token");
    fixture.server.state().issuer = "https://other.example".to_owned();
    let mut moved = join(report(&fixture.manager, &third, &invalid_token(), 10)).await;
    while moved.iter().any(Result::is_err) {
        pass_millis(500).await;
        moved = join(report(&fixture.manager, &third, &invalid_token(), 10)).await;
    }
    assert_eq!(fixture.manager.snapshot().binding.expect("resolved").issuer.as_str(), "https://other.example");
    assert_eq!(fixture.server.state().resolved, 2);
}

#[tokio::test(start_paused = true)]
async fn cl_48_scopes_that_the_user_declined_are_not_requested_again_by_callers() {
    let (fixture, _) = Fixture::logged_in(Kind::User).await;
    let manager = fixture.builder().with_login_on_demand().build();
    let token = manager.acquire().await.expect("a token");
    fixture.server.next(Act::Refuse);
    for _ in 0..5 {
        for error in errors(acquire_for(&manager, "write", 20)).await {
            assert!(matches!(error, AcquireError::StepUpRequired { .. }), "{error:?}");
        }
        pass(40).await;
    }
    assert_eq!(fixture.server.state().asked, [scopes_of("read write")], "the baseline, and what was needed");
    assert_eq!(all(acquire(&manager, 20)).await, token.expose_secret());
    manager.login(&scopes_of("write")).await.expect("the application may ask again");
    assert!(manager.acquire_for(&scopes_of("write")).await.is_ok());
}
