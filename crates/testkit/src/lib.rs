//! For tests of servers that stand behind Portcullis: no network, no waiting, every failure at the flick of a switch.
//!
//! - [`TestClock`]: calendar time that a test sets, and that follows tokio's paused time.
//! - [`StrictService`]: an inner service that insists on tower's contract.

mod strict_service;
mod test_clock;

pub use strict_service::{StrictFuture, StrictService};
pub use test_clock::TestClock;
