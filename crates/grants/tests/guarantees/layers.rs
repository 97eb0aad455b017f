//! Layers of tower around the refresher: they change how long callers wait, and nothing else.

use std::{sync::Arc, time::Duration};

use portcullis_core::{AuthError, AuthErrorKind};
use portcullis_grants::{RefreshRequest, TokenSet};
use tower::{
    BoxError, ServiceBuilder, ServiceExt as _,
    retry::{Policy, Retry},
};

use crate::{
    provider::Act,
    world::{GRANT, World, all, ask, pass},
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
