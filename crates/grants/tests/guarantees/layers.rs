//! Layers of tower around the refresher: they change how long callers wait, and nothing else.

use std::{sync::Arc, time::Duration};

use portcullis_core::{AuthError, AuthErrorKind, GrantId};
use portcullis_grants::{RefreshRequest, Refresher, TokenSet};
use portcullis_oauth::providers::Rotation;
use tower::{
    BoxError, ServiceBuilder, ServiceExt as _,
    retry::{Policy, Retry},
};

use crate::{
    provider::Act,
    world::{GRANT, World, all, ask, config, pass},
};

#[tokio::test(start_paused = true)]
async fn a_time_limit_ends_the_wait_and_not_the_exchange() {
    let world = World::new().await;
    pass(301).await;
    world.provider.set_latency(Duration::from_secs(2));
    let stack = ServiceBuilder::new().timeout(Duration::from_millis(100)).service(world.refresher.clone());
    let upstream = world.refresher.upstream_through(GRANT, stack);
    for caller in ask(&upstream, 100) {
        assert_eq!(caller.await.expect("no panic").expect_err("too late").kind(), AuthErrorKind::Unavailable);
    }
    pass(3).await;
    assert_eq!(world.stored().await, Some(1), "the exchange was not cancelled");
    assert_eq!(all(ask(&upstream, 100)).await, 1);
    assert_eq!((world.provider.exchanges(), world.provider.is_alive("alice")), (1, true));
}

#[tokio::test(start_paused = true)]
async fn limits_and_load_shedding_shed_callers_and_not_exchanges() {
    let world = World::new().await;
    pass(301).await;
    let stack = ServiceBuilder::new().load_shed().concurrency_limit(10).service(world.refresher.clone());
    let upstream = world.refresher.upstream_through(GRANT, stack);
    let (mut served, mut shed) = (0, 0);
    for caller in ask(&upstream, 100) {
        match caller.await.expect("no panic") {
            Ok(token) => served += usize::from(token.generation().number() == 1),
            Err(error) => shed += usize::from(error.is_transient()),
        }
    }
    assert_eq!((served, shed), (10, 90));
    assert_eq!(all(ask(&upstream, 100)).await, 1, "a fresh token costs no permit");
    assert_eq!(world.provider.exchanges(), 1);
}

/// Tries again at once, so many times.
#[derive(Clone)]
struct Again(usize);

impl Policy<RefreshRequest, Arc<TokenSet>, AuthError> for Again {
    type Future = std::future::Ready<()>;

    fn retry(
        &mut self,
        _: &mut RefreshRequest,
        result: &mut Result<Arc<TokenSet>, AuthError>,
    ) -> Option<std::future::Ready<()>> {
        self.0 = self.0.checked_sub(1)?;
        result.is_err().then(|| std::future::ready(()))
    }

    fn clone_request(&mut self, request: &RefreshRequest) -> Option<RefreshRequest> {
        Some(*request)
    }
}

#[tokio::test(start_paused = true)]
async fn retries_present_nothing_twice() {
    let world = World::new().await;
    pass(301).await;
    world.provider.always(Act::Fail { retry_after: None });
    let upstream = world.refresher.upstream_through(GRANT, Retry::new(Again(20), world.refresher.clone()));
    for caller in ask(&upstream, 50) {
        assert!(caller.await.expect("no panic").is_err());
    }
    assert_eq!(world.provider.exchanges(), 1, "the failure is remembered");
}

#[tokio::test(start_paused = true)]
async fn a_refresher_of_ones_own_takes_its_place() {
    let world = World::new().await;
    let tokens = world.tokens().await.expect("tokens");
    let own = tower::service_fn(move |_: RefreshRequest| std::future::ready(Ok::<_, BoxError>(Arc::clone(&tokens))));
    pass(301).await;
    let token = world.refresher.upstream_through(GRANT, own.clone()).access_token().await.expect("its token");
    assert_eq!(token.generation().number(), 0);
    assert!(own.oneshot(RefreshRequest::new(GRANT)).await.is_ok());
    assert_eq!(world.provider.exchanges(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_works_needs_no_permit() {
    let world = World::new().await;
    drop(world.tokens().await.expect("fresh"));
    let stack = ServiceBuilder::new().load_shed().concurrency_limit(1).service(world.refresher.clone());
    let other = GrantId::from_bytes([4; 16]);
    world.log_in(other, "late").await;
    pass(256).await;
    world.provider.set_latency(Duration::from_secs(60));
    // The only permit is taken by somebody who waits for an exchange.
    let token = world.refresher.upstream(other).access_token().await.expect("still good");
    let taken = tokio::spawn(stack.clone().oneshot(RefreshRequest::new(other).with_rejected(token.generation())));
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(
        all(ask(&world.refresher.upstream_through(GRANT, stack), 10)).await,
        0,
        "it is to be renewed, and works"
    );
    taken.abort();
}

#[tokio::test(start_paused = true)]
async fn an_exchange_that_waits_for_its_turn_has_not_been_sent() {
    let world = World::new().await;
    let limited = ServiceBuilder::new().concurrency_limit(1).service(world.provider.clone());
    let refresher = Refresher::new(
        world.vault.clone(),
        limited,
        config(Rotation::SingleUse).with_clock(Arc::new(world.clock.clone())),
    );
    let (first, second) = (GrantId::from_bytes([5; 16]), GrantId::from_bytes([6; 16]));
    world.log_in(first, "dave").await;
    world.log_in(second, "erin").await;
    world.provider.next(Act::Hang);
    world.provider.next(Act::Hang);
    for id in [first, second, GRANT] {
        drop(refresher.upstream(id).access_token().await.expect("fresh"));
    }
    pass(256).await;
    for id in [first, second, GRANT] {
        drop(refresher.upstream(id).access_token().await.expect("still good"));
        pass(1).await;
    }
    // The first exchange is given up after 12 s, and it is the second one's turn.
    pass(13).await;
    assert_eq!(world.provider.exchanges(), 2);
    pass(10).await;
    drop(refresher.upstream(GRANT).access_token().await.expect("still good"));
    pass(2).await;
    let token = refresher.upstream(GRANT).access_token().await.expect("renewed");
    assert_eq!(token.generation().number(), 1, "it is not spared as if it might be spent");
}
