//! `RequireUpstreamLayer`: the MCP server is called only with a fresh token.

use std::{convert::Infallible, time::Duration};

use http::{Request, Response};
use portcullis_core::Reason;
use portcullis_layer::{Auth, RequireUpstreamLayer};
use portcullis_testkit::StrictService;
use tokio::time::Instant;
use tower::ServiceExt as _;
use tower_layer::Layer as _;

use super::support::{Answer, Grant, Plain, config, request};

async fn server(_: Request<Plain>) -> Result<Response<Plain>, Infallible> {
    Ok(Response::new(Plain::from("served")))
}

/// Returns the response to a request with `method`, and the number of calls of the server.
async fn ask(grant: impl Into<Option<Grant>>, method: &str) -> (Answer, usize) {
    let inner = StrictService::new(server);
    let gate = Auth::new(RequireUpstreamLayer::new().layer(inner.clone()), config(grant));
    let answer = Answer::of(gate.oneshot(request(method)).await.expect("response")).await;
    (answer, inner.calls())
}

#[tokio::test]
async fn with_a_fresh_token_the_server_is_called() {
    let (answer, calls) = ask(Grant::default(), "POST").await;
    answer.assert_passed("served");
    assert_eq!(calls, 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_has_to_be_got_is_waited_for() {
    let delay = Duration::from_secs(2);
    let begun = Instant::now();
    let (answer, _) = ask(Grant::default().takes(delay), "POST").await;
    answer.assert_passed("served");
    assert_eq!(begun.elapsed(), delay);
}

#[tokio::test]
async fn a_grant_that_has_ended_is_a_real_401_and_the_server_is_not_called() {
    let (answer, calls) = ask(Grant::default().fails(Reason::GrantEnded), "POST").await;
    answer.assert_login_demanded();
    assert_eq!(calls, 0);
}

#[tokio::test]
async fn an_outage_is_a_real_503_and_the_server_is_not_called() {
    for reason in [Reason::StoreUnavailable, Reason::ProviderTimeout, Reason::BackingOff] {
        let (answer, calls) = ask(Grant::default().fails(reason), "POST").await;
        answer.assert_unavailable();
        assert_eq!(calls, 0);
    }
}

#[tokio::test]
async fn a_user_without_a_grant_is_our_mistake() {
    let (answer, calls) = ask(None, "POST").await;
    answer.assert_unavailable();
    assert_eq!(calls, 0);
}

#[tokio::test]
async fn streams_open_and_sessions_end_without_the_provider() {
    for method in ["GET", "DELETE", "OPTIONS"] {
        let grant = Grant::default().fails(Reason::ProviderUnavailable);
        let (answer, calls) = ask(grant.clone(), method).await;
        answer.assert_passed("served");
        assert_eq!((calls, grant.asked()), (1, 0), "{method}");
    }
}

#[tokio::test]
async fn without_a_user_it_is_500_and_the_server_is_not_called() {
    let inner = StrictService::new(server);
    let route = RequireUpstreamLayer::new().layer(inner.clone());
    let answer = Answer::of(route.oneshot(request("POST")).await.expect("response")).await;
    assert_eq!((answer.status, inner.calls()), (500, 0));
}
