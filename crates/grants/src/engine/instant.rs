//! [`Now`]: the present, by both clocks.

use portcullis_core::UnixTime;
use tokio::time::Instant;

/// The present, by both clocks: the one that never steps, and the one that goes on while the machine sleeps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) monotonic: Instant,
    pub(crate) calendar: UnixTime,
}
