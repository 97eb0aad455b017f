//! Layers of tower around the refresher: they change only how long callers wait.

use std::{sync::Arc, time::Duration};

use portcullis_core::{AuthError, AuthErrorKind, GrantId};
use portcullis_oauth::providers::Rotation;
use portcullis_refresh::{RefreshRequest, Refresher, TokenSet};
use tower::{
    BoxError, ServiceBuilder, ServiceExt as _,
    retry::{Policy, Retry},
};

use crate::{
    fixture::{Fixture, GRANT, all, ask, config, pass},
    provider::Act,
};

#[tokio::test(start_paused = true)]
async fn a_time_limit_ends_the_wait_and_not_the_refresh() {
    let fixture = Fixture::new().await;
    pass(301).await;
    fixture.provider.set_latency(Duration::from_secs(2));
    let stack = ServiceBuilder::new().timeout(Duration::from_millis(100)).service(fixture.refresher.clone());
    let upstream = fixture.refresher.upstream_through(GRANT, stack);
    for caller in ask(&upstream, 100) {
        assert_eq!(caller.await.expect("no panic").expect_err("too late").kind(), AuthErrorKind::Unavailable);
    }
    pass(3).await;
    assert_eq!(fixture.stored().await, Some(1), "the refresh was not cancelled");
    assert_eq!(all(ask(&upstream, 100)).await, 1);
    assert_eq!((fixture.provider.requests(), fixture.provider.is_alive("alice")), (1, true));
}

#[tokio::test(start_paused = true)]
async fn limits_and_load_shedding_reject_callers_and_not_refreshes() {
    let fixture = Fixture::new().await;
    pass(301).await;
    let stack = ServiceBuilder::new().load_shed().concurrency_limit(10).service(fixture.refresher.clone());
    let upstream = fixture.refresher.upstream_through(GRANT, stack);
    let (mut served, mut shed) = (0, 0);
    for caller in ask(&upstream, 100) {
        match caller.await.expect("no panic") {
            Ok(token) => served += usize::from(token.generation().number() == 1),
            Err(error) => shed += usize::from(error.is_transient()),
        }
    }
    assert_eq!((served, shed), (10, 90));
    assert_eq!(all(ask(&upstream, 100)).await, 1, "a fresh token costs no permit");
    assert_eq!(fixture.provider.requests(), 1);
}

/// Retries at once, at most this number of times.
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
    let fixture = Fixture::new().await;
    pass(301).await;
    fixture.provider.always(Act::Fail { retry_after: None });
    let upstream = fixture.refresher.upstream_through(GRANT, Retry::new(Again(20), fixture.refresher.clone()));
    for caller in ask(&upstream, 50) {
        assert!(caller.await.expect("no panic").is_err());
    }
    assert_eq!(fixture.provider.requests(), 1, "the failure is remembered");
}

#[tokio::test(start_paused = true)]
async fn an_upstream_source_of_the_application_can_replace_the_refresher() {
    let fixture = Fixture::new().await;
    let tokens = fixture.tokens().await.expect("tokens");
    let own = tower::service_fn(move |_: RefreshRequest| std::future::ready(Ok::<_, BoxError>(Arc::clone(&tokens))));
    pass(301).await;
    let token = fixture.refresher.upstream_through(GRANT, own.clone()).access_token().await.expect("its token");
    assert_eq!(token.generation().number(), 0);
    assert!(own.oneshot(RefreshRequest::new(GRANT)).await.is_ok());
    assert_eq!(fixture.provider.requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_works_needs_no_permit() {
    let fixture = Fixture::new().await;
    drop(fixture.tokens().await.expect("fresh"));
    let stack = ServiceBuilder::new().load_shed().concurrency_limit(1).service(fixture.refresher.clone());
    let other = GrantId::from_bytes([4; 16]);
    fixture.log_in(other, "late").await;
    pass(256).await;
    fixture.provider.set_latency(Duration::from_secs(60));
    // A caller that waits for a refresh holds the only permit.
    let token = fixture.refresher.upstream(other).access_token().await.expect("still good");
    let taken = tokio::spawn(stack.clone().oneshot(RefreshRequest::new(other).with_rejected(token.generation())));
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(
        all(ask(&fixture.refresher.upstream_through(GRANT, stack), 10)).await,
        0,
        "it is due for a refresh, and works"
    );
    taken.abort();
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_waits_for_a_permit_has_not_been_sent() {
    let fixture = Fixture::new().await;
    let limited = ServiceBuilder::new().concurrency_limit(1).service(fixture.provider.clone());
    let refresher = Refresher::new(
        fixture.grants.clone(),
        limited,
        config(Rotation::SingleUse).with_clock(Arc::new(fixture.clock.clone())),
    );
    let (first, second) = (GrantId::from_bytes([5; 16]), GrantId::from_bytes([6; 16]));
    fixture.log_in(first, "dave").await;
    fixture.log_in(second, "erin").await;
    fixture.provider.next(Act::Hang);
    fixture.provider.next(Act::Hang);
    for id in [first, second, GRANT] {
        drop(refresher.upstream(id).access_token().await.expect("fresh"));
    }
    pass(256).await;
    for id in [first, second, GRANT] {
        drop(refresher.upstream(id).access_token().await.expect("still good"));
        pass(1).await;
    }
    // The first refresh times out after 12 s, and the second one gets the permit.
    pass(13).await;
    assert_eq!(fixture.provider.requests(), 2);
    pass(10).await;
    drop(refresher.upstream(GRANT).access_token().await.expect("still good"));
    pass(2).await;
    let token = refresher.upstream(GRANT).access_token().await.expect("renewed");
    assert_eq!(token.generation().number(), 1, "the refresh is not deferred as if the token might be spent");
}

#[tokio::test(start_paused = true)]
async fn tokens_through_a_stack_are_revoked_with_their_grant() {
    let fixture = Fixture::new().await;
    let upstream = fixture.refresher.upstream_through(GRANT, fixture.refresher.clone());
    let revocation = upstream.revocation().expect("the grant can be revoked");
    assert!(!revocation.is_revoked());
    fixture.refresher.delete(GRANT).await.expect("deleted");
    assert!(revocation.is_revoked());
}
