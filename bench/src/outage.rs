//! A provider that fails: what it is asked, and what 1,000 who wait are told, and when. In paused time.

use std::{error::Error, time::Duration};

use http::StatusCode;
use portcullis_testkit::{Endpoint, Fault};

use crate::concurrent_requests::{Answer, Crowd};

const WAITERS: usize = 1_000;
const WINDOWS: usize = 5;

/// What came of it.
pub(crate) struct Outage {
    /// What the provider does instead of answering.
    pub(crate) fault: &'static str,
    /// Calls for 1,000 requests with one token, which are the first to meet the outage.
    pub(crate) first_calls: usize,
    /// What these 1,000 get.
    pub(crate) first: Vec<Answer>,
    /// Calls for 1,000 requests with different tokens that are the first to meet it: nobody knows of it yet.
    pub(crate) unwarned_calls: usize,
    /// Calls in the busiest of several back-off windows, in each of which come 2,000 requests with different tokens.
    pub(crate) calls_per_window: usize,
    /// What those of the last window get.
    pub(crate) later: Vec<Answer>,
}

/// Both kinds.
pub(crate) fn run() -> Result<[Outage; 2], Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
    runtime.block_on(async {
        Ok([measure("answers 500", Fault::status(500)).await?, measure("hangs", Fault::hang()).await?])
    })
}

async fn measure(fault: &'static str, cause: Fault) -> Result<Outage, Box<dyn Error>> {
    let unwarned = Crowd::new(Duration::ZERO).await?;
    unwarned.provider.set_fault(Endpoint::Introspection, cause.clone());
    let before = unwarned.calls();
    expect_unavailable(&unwarned.call_all(unwarned.tokens(WAITERS)).await);
    let unwarned_calls = unwarned.calls() - before;

    let crowd = Crowd::new(Duration::ZERO).await?;
    crowd.provider.set_fault(Endpoint::Introspection, cause);
    let before = crowd.calls();
    let first = crowd.call_all(vec![crowd.token(); WAITERS]).await;
    expect_unavailable(&first);
    let first_calls = crowd.calls() - before;

    let (mut calls_per_window, mut later) = (0, first.clone());
    for _ in 0..WINDOWS {
        // The window that opened is over, as everybody was told; the next begins with whoever comes first.
        let over = later.iter().filter_map(|answer| answer.retry_after).max().ok_or("Retry-After")?;
        tokio::time::sleep(Duration::from_secs(over)).await;
        let before = crowd.calls();
        later = crowd.call_all(crowd.tokens(WAITERS)).await;
        later.extend(crowd.call_all(crowd.tokens(WAITERS)).await);
        expect_unavailable(&later);
        calls_per_window = calls_per_window.max(crowd.calls() - before);
    }
    Ok(Outage { fault, first_calls, first, unwarned_calls, calls_per_window, later })
}

fn expect_unavailable(answers: &[Answer]) {
    for answer in answers {
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "an outage is nobody's fault");
        assert!(answer.retry_after.is_some(), "and everybody is told when to come again");
    }
}
