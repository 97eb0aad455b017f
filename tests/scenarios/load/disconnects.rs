//! Clients that go away while a refresh for them is under way; the provider takes 10 ms.

use std::time::Duration;

use portcullis_testkit::Endpoint;
use tokio::time::sleep;

use super::fixture::{Expiry, Stack};

/// What one call of the provider takes.
const LATENCY: Duration = Duration::from_millis(10);

/// What came of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Disconnects {
    pub(crate) exchanges: usize,
    /// Whether the refresh token in the store is one that the provider would take.
    pub(crate) is_saved: bool,
    /// Whether the next request is served without a further exchange.
    pub(crate) serves_the_next: bool,
}

pub(crate) async fn run(clients: usize) -> Disconnects {
    let stack = Stack::with_dead_token(Expiry::Told).await;
    let before = stack.stored_refresh_token().await;
    stack.set_latency(LATENCY);
    let calls: Vec<_> = (0..clients).map(|_| stack.start()).collect();
    sleep(LATENCY / 2).await;
    let under_way = stack.idp.calls(Endpoint::Token) - stack.idp.rotations();
    assert_eq!(under_way, 1, "a refresh is under way");
    for call in &calls {
        call.abort();
    }
    sleep(LATENCY * 10).await;
    let exchanges = stack.idp.calls(Endpoint::Token);
    let stored = stack.stored_refresh_token().await;
    let is_saved = stored != before && stored.is_some_and(|token| stack.idp.is_refreshable(&token));
    let serves_the_next = stack.call().await.is_served() && stack.idp.calls(Endpoint::Token) == exchanges;
    Disconnects { exchanges, is_saved, serves_the_next }
}
