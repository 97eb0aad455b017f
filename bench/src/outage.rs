//! A provider that fails: its calls, and the responses to 1,000 concurrent requests with their times. In paused time.

use std::{error::Error, time::Duration};

use http::StatusCode;
use portcullis_testkit::{Endpoint, Fault};

use crate::concurrent_requests::{Answer, ConcurrentRequests};

const WAITERS: usize = 1_000;
const WINDOWS: usize = 5;

/// The results.
pub(crate) struct Outage {
    /// The fault of the provider.
    pub(crate) fault: &'static str,
    /// The calls for 1,000 requests with one token, at the beginning of the outage.
    pub(crate) first_calls: usize,
    /// The responses to these 1,000.
    pub(crate) first: Vec<Answer>,
    /// The calls for 1,000 requests with different tokens, before the first failure.
    pub(crate) unwarned_calls: usize,
    /// The calls in the busiest of several back-off windows, each with 2,000 requests with different tokens.
    pub(crate) calls_per_window: usize,
    /// The responses in the last window.
    pub(crate) later: Vec<Answer>,
}

/// Measures both kinds of outage.
pub(crate) fn run() -> Result<[Outage; 2], Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
    runtime.block_on(async {
        Ok([measure("answers 500", Fault::status(500)).await?, measure("hangs", Fault::hang()).await?])
    })
}

async fn measure(fault: &'static str, cause: Fault) -> Result<Outage, Box<dyn Error>> {
    let unwarned = ConcurrentRequests::new(Duration::ZERO).await?;
    unwarned.provider.set_fault(Endpoint::Introspection, cause.clone());
    let before = unwarned.calls();
    expect_unavailable(&unwarned.call_all(unwarned.tokens(WAITERS)).await);
    let unwarned_calls = unwarned.calls() - before;

    let concurrent = ConcurrentRequests::new(Duration::ZERO).await?;
    concurrent.provider.set_fault(Endpoint::Introspection, cause);
    let before = concurrent.calls();
    let first = concurrent.call_all(vec![concurrent.token(); WAITERS]).await;
    expect_unavailable(&first);
    let first_calls = concurrent.calls() - before;

    let (mut calls_per_window, mut later) = (0, first.clone());
    for _ in 0..WINDOWS {
        // The window has ended according to `Retry-After`; the next one begins with the first request.
        let over = later.iter().filter_map(|answer| answer.retry_after).max().ok_or("Retry-After")?;
        tokio::time::sleep(Duration::from_secs(over)).await;
        let before = concurrent.calls();
        later = concurrent.call_all(concurrent.tokens(WAITERS)).await;
        later.extend(concurrent.call_all(concurrent.tokens(WAITERS)).await);
        expect_unavailable(&later);
        calls_per_window = calls_per_window.max(concurrent.calls() - before);
    }
    Ok(Outage { fault, first_calls, first, unwarned_calls, calls_per_window, later })
}

fn expect_unavailable(answers: &[Answer]) {
    for answer in answers {
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "an outage is 503");
        assert!(answer.retry_after.is_some(), "each response has Retry-After");
    }
}
