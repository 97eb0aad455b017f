//! How clients ask: again if there was no answer, and not always with patience.

use std::time::Duration;

use axum::body::Bytes;
use http::Request;
use portcullis_test_support::{BrowserError, ClientError, Network, NetworkError};
use serde_json::Value;
use tokio::time::timeout;

use super::fixture::World;

/// A machine that builds something else meanwhile is slow.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Acts until there is an answer, for which `patience` says how long it is waited. How often there was none.
pub(crate) async fn until_answered<T>(
    world: &World,
    patience: impl Fn() -> Duration,
    mut act: impl AsyncFnMut() -> Result<T, ClientError>,
) -> (T, usize) {
    let mut lost = 0;
    let answered = timeout(PATIENCE, async {
        loop {
            world.proxy.is_open().await;
            match timeout(patience(), act()).await {
                Ok(Ok(answer)) => break answer,
                Ok(Err(ClientError::Network(_) | ClientError::Browser(BrowserError::Network(_)))) | Err(_) => lost += 1,
                Ok(Err(error)) => panic!("{error}"),
            }
        }
    });
    (answered.await.expect("an answer"), lost)
}

/// Now and then a client hangs up while the bridge is at work.
pub(crate) fn hang_up_after() -> Duration {
    if rand::random_ratio(1, 20) { Duration::from_micros(rand::random_range(0..50_000)) } else { PATIENCE }
}

/// The tool that says who is calling.
pub(crate) const WHOAMI: &str = "/mcp";
/// The tool that uses the caller's token at the provider.
pub(crate) const UPSTREAM: &str = "/mcp/upstream";

/// Calls a tool: status, and what it says.
pub(crate) async fn tool(network: &Network, site: &str, path: &str, token: &str) -> Result<(u16, Value), NetworkError> {
    let request = Request::get(format!("{site}{path}")).header("authorization", format!("Bearer {token}"));
    let response = network.send(request.body(Bytes::new()).expect("a request")).await?;
    Ok((response.status().as_u16(), serde_json::from_slice(response.body()).unwrap_or_default()))
}
