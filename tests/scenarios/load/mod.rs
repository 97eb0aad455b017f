//! Experiments with a whole server and its provider: tests assert what they find, and the benchmarks publish it.
//!
//! Each runs in the time of its runtime; in paused time delays are exact and take no time.

pub(crate) mod cold;
pub(crate) mod concurrent_requests;
pub(crate) mod contention;
pub(crate) mod disconnects;
pub(crate) mod expired;
pub(crate) mod failing;
pub(crate) mod fixture;
pub(crate) mod late;
