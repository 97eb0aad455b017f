//! Many requests when the provider's access token is dead; the provider takes 10 ms.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use portcullis_testkit::Endpoint;
use tokio::time::Instant;
use tower::ServiceExt as _;

use super::{
    concurrent_requests::last,
    fixture::{Expiry, Stack},
};

/// What one call of the provider takes.
const LATENCY: Duration = Duration::from_millis(10);

/// What came of it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Expired {
    /// Calls of the provider with the dead token.
    pub(crate) dead_calls: usize,
    pub(crate) refreshes: usize,
    /// Calls of UserInfo, dead ones included.
    pub(crate) userinfo_calls: usize,
    pub(crate) served: usize,
    /// Tools that got a dead token.
    pub(crate) with_dead_token: usize,
    /// After what time the last was answered, in calls of the provider.
    pub(crate) round_trips: f64,
}

pub(crate) async fn run(expiry: Expiry, requests: usize) -> Expired {
    let stack = Stack::with_dead_token(expiry).await;
    stack.set_latency(LATENCY);
    let before = stack.idp.calls(Endpoint::UserInfo);
    let answers = stack.call_all(requests).await;
    Expired {
        dead_calls: stack.idp.dead_calls(),
        refreshes: stack.idp.calls(Endpoint::Token),
        userinfo_calls: stack.idp.calls(Endpoint::UserInfo) - before,
        served: answers.iter().filter(|answer| answer.is_served()).count(),
        with_dead_token: stack.with_dead_tokens(&answers).await,
        round_trips: last(&answers).div_duration_f64(LATENCY),
    }
}

/// How long one call of that provider takes, in units of what it was told to take.
pub(crate) async fn one_call() -> f64 {
    let stack = Stack::new(Expiry::Told).await;
    stack.set_latency(LATENCY);
    let begun = Instant::now();
    drop(stack.idp.clone().oneshot(user_info(&stack)).await.expect("an answer"));
    begun.elapsed().div_duration_f64(LATENCY)
}

fn user_info(stack: &Stack) -> Request<Bytes> {
    Request::get(stack.idp.endpoint_url(Endpoint::UserInfo)).body(Bytes::new()).expect("a request")
}
