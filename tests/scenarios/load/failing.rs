//! Many requests while the provider answers 500 after 10 ms, in each of several back-off windows.

use std::time::Duration;

use http::StatusCode;
use portcullis_testkit::{Endpoint, Fault};

use super::{
    concurrent_requests::last,
    fixture::{Expiry, Stack},
};

/// What one call of the provider takes.
const LATENCY: Duration = Duration::from_millis(10);
const WINDOWS: usize = 5;

/// What came of it. Of all windows, the worst.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Failing {
    /// How often the provider was called in the busiest window.
    pub(crate) calls_per_window: usize,
    /// Answers that were not a 503 with `Retry-After`.
    pub(crate) otherwise: usize,
    /// After what time the last was answered.
    pub(crate) after: Duration,
}

/// UserInfo fails, and Alice is not in the cache; or the token endpoint fails, and her token is dead.
pub(crate) async fn run(endpoint: Endpoint, requests: usize) -> Failing {
    let stack = Stack::with_dead_token(Expiry::Told).await;
    if endpoint == Endpoint::UserInfo {
        // As fresh as can be, so that nothing else is called.
        stack.upstream().access_token().await.expect("a token");
    }
    stack.set_latency(LATENCY);
    stack.idp.set_fault(endpoint, Fault::status(500));
    let calls = || stack.idp.calls(Endpoint::UserInfo) + stack.idp.calls(Endpoint::Token);
    let mut worst = Failing { calls_per_window: 0, otherwise: 0, after: Duration::ZERO };
    for _ in 0..WINDOWS {
        let before = calls();
        // Two waves: one that meets the failure, and one that comes when it is known.
        let mut answers = stack.call_all(requests).await;
        answers.extend(stack.call_all(requests).await);
        worst.calls_per_window = worst.calls_per_window.max(calls() - before);
        let is_outage =
            |status, retry_after: Option<u64>| status == StatusCode::SERVICE_UNAVAILABLE && retry_after.is_some();
        worst.otherwise += answers.iter().filter(|answer| !is_outage(answer.status, answer.retry_after)).count();
        worst.after = worst.after.max(last(&answers));
        // The window ends at the time that every `Retry-After` named.
        let over = answers.iter().filter_map(|answer| answer.retry_after).max().unwrap_or_default();
        tokio::time::sleep(Duration::from_secs(over)).await;
    }
    worst
}
