//! Waiting for the background work of a bridge, after its response has been sent.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// A process sweeps for the first time when it has confirmed its clock, a minute after its start. A machine that builds something else
/// meanwhile is slow.
const PATIENCE: Duration = Duration::from_mins(3);

const TICK: Duration = Duration::from_millis(20);

/// Waits until there is nothing left, of which `left` says what there is.
pub(crate) async fn until_nothing_is_left(mut left: impl AsyncFnMut() -> Option<String>) {
    let give_up = Instant::now() + PATIENCE;
    while let Some(left) = left().await {
        assert!(Instant::now() < give_up, "{left}");
        sleep(TICK).await;
    }
}
