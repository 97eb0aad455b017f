//! Requests that come while a refresh is under way; the provider takes 10 ms.

use std::time::Duration;

use portcullis_testkit::Endpoint;
use tokio::time::sleep;

use super::fixture::{Expiry, Stack};

/// What one call of the provider takes.
const LATENCY: Duration = Duration::from_millis(10);

/// What came of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Late {
    pub(crate) served: usize,
    /// Tools that got a dead token.
    pub(crate) with_dead_token: usize,
    pub(crate) refreshes: usize,
}

/// The refresh is part of finding out who Alice is.
pub(crate) async fn during_resolution(requests: usize) -> Late {
    let stack = Stack::with_dead_token(Expiry::Untold).await;
    stack.set_latency(LATENCY);
    let first = stack.start();
    // The call with the dead token is over, the refresh is not.
    sleep(LATENCY * 3 / 2).await;
    let late = arrive(&stack, requests).await;
    assert!(first.await.expect("no panic").is_served());
    late
}

/// Alice is known; a tool has found out that her token is dead, and said so.
pub(crate) async fn after_a_report(requests: usize) -> Late {
    let stack = Stack::new(Expiry::Told).await;
    assert!(stack.call().await.is_served());
    stack.set_latency(LATENCY);
    let upstream = stack.upstream();
    let token = upstream.access_token().await.expect("a token");
    stack.idp.revoke(token.expose_secret());
    assert!(!stack.is_alive(token.expose_secret()).await, "it is dead");
    let report = tokio::spawn(async move { upstream.rejected(&token).await });
    sleep(LATENCY / 2).await;
    let late = arrive(&stack, requests).await;
    report.await.expect("no panic").expect("a new token");
    late
}

async fn arrive(stack: &Stack, requests: usize) -> Late {
    let under_way = stack.idp.calls(Endpoint::Token) - stack.idp.rotations();
    assert_eq!(under_way, 1, "a refresh is under way");
    let answers = stack.call_all(requests).await;
    Late {
        served: answers.iter().filter(|answer| answer.is_served()).count(),
        with_dead_token: stack.with_dead_tokens(&answers).await,
        refreshes: stack.idp.calls(Endpoint::Token),
    }
}
