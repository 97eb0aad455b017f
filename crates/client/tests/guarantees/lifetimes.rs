//! G11: when a token is replaced, by two clocks.

use std::time::Duration;

use portcullis_core::Clock as _;
use portcullis_testkit::TestClock;

use crate::{
    fixture::{Fixture, acquire, all, pass, report},
    server::{Kind, invalid_token},
};

const KINDS: [Kind; 3] = [Kind::User, Kind::Client, Kind::Both];

#[tokio::test(start_paused = true)]
async fn g11_a_short_lived_token_is_not_replaced_at_each_call() {
    for kind in KINDS {
        for lifetime in [2, 20, 29] {
            let fixture = Fixture::new(kind);
            fixture.server.state().lifetime = Some(Duration::from_secs(lifetime));
            fixture.log_in().await;
            for _ in 0..10 {
                all(acquire(&fixture.manager, 100)).await;
            }
            tokio::time::sleep(Duration::from_secs(lifetime).mul_f64(0.79)).await;
            all(acquire(&fixture.manager, 100)).await;
            assert_eq!(fixture.server.exchanges(), 0, "{kind:?}, {lifetime} s");
            tokio::time::sleep(Duration::from_secs(lifetime).mul_f64(0.2)).await;
            all(acquire(&fixture.manager, 100)).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert_eq!(fixture.server.exchanges(), 1, "{kind:?}, {lifetime} s: early");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn g11_a_clock_that_is_set_back_prolongs_nothing() {
    for kind in KINDS {
        let (fixture, _) = Fixture::logged_in(kind).await;
        fixture.clock.step_back(Duration::from_secs(3600));
        pass(300).await;
        assert_eq!(all(acquire(&fixture.manager, 100)).await, "access-2", "{kind:?}");
        assert_eq!(fixture.server.exchanges(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn g11_a_token_expires_while_the_machine_sleeps() {
    for kind in KINDS {
        let (fixture, _) = Fixture::logged_in(kind).await;
        fixture.clock.advance(Duration::from_secs(300));
        assert_eq!(all(acquire(&fixture.manager, 100)).await, "access-2", "{kind:?}");
        assert_eq!(fixture.server.exchanges(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn g11_a_stored_token_that_was_received_in_the_future_lives_no_longer_than_its_lifetime() {
    let fixture = Fixture::new(Kind::User);
    fixture.clock.advance(Duration::from_secs(3600));
    let token = fixture.log_in().await;
    fixture.clock.step_back(Duration::from_secs(3600));
    let other = fixture.another();
    assert_eq!(all(acquire(&other, 10)).await, token.expose_secret());
    pass(300).await;
    assert_eq!(all(acquire(&other, 10)).await, "access-2");
}

#[tokio::test(start_paused = true)]
async fn g11_a_lifetime_that_is_not_stated_is_read_from_the_token_or_unknown() {
    for kind in KINDS {
        let fixture = Fixture::new(kind);
        let expiry = fixture.clock.now() + Duration::from_secs(100);
        {
            let mut state = fixture.server.state();
            (state.lifetime, state.claimed_expiry) = (None, Some(expiry.as_secs()));
        }
        let token = fixture.log_in().await;
        assert_eq!(token.expires_at().map(|end| end.as_secs()), Some(expiry.as_secs()));
        // A token that says that it had expired when it was issued: a clock is wrong.
        fixture.server.state().claimed_expiry = Some(TestClock::START.as_secs() - 1);
        pass(100).await;
        let second = fixture.manager.acquire().await.expect("a token");
        assert_eq!((second.expires_at(), fixture.server.exchanges()), (None, 1), "{kind:?}");
        pass(24 * 3600).await;
        assert_eq!(all(acquire(&fixture.manager, 100)).await, second.expose_secret());
        all(report(&fixture.manager, &second, &invalid_token(), 100)).await;
        assert_eq!(fixture.server.exchanges(), 2, "{kind:?}: when it is refused");
    }
}

#[tokio::test(start_paused = true)]
async fn g11_a_watcher_is_told_when_a_token_expires() {
    use portcullis_client::TokenState;
    let (fixture, token) = Fixture::logged_in(Kind::User).await;
    let mut snapshots = fixture.manager.subscribe();
    assert_eq!(snapshots.borrow_and_update().state, TokenState::Fresh);
    assert_eq!(snapshots.borrow().generation, Some(token.generation()));
    snapshots.changed().await.expect("the manager is in use");
    assert_eq!(snapshots.borrow_and_update().state, TokenState::Stale);
    assert!(fixture.clock.now() >= token.expires_at().expect("a lifetime"));
    all(acquire(&fixture.manager, 1)).await;
    snapshots.wait_for(|now| now.state == TokenState::Fresh).await.expect("the manager is in use");
    drop(fixture);
    while snapshots.changed().await.is_ok() {}
}
