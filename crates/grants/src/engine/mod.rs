//! The single-flight engine: per grant a state machine, and at most one flight to change it.
//!
//! `slot` decides and does nothing, `journey` does and decides nothing about callers, `hangar` keeps the slots.

mod current_tokens;
mod entry;
mod instant;
mod lease;
mod pool;
mod refresh_task;
mod refusal_evidence;
mod save;
mod state;
mod store_limit;

#[cfg(test)]
mod tests;

pub(crate) use entry::{Cell, Waiting};
pub(crate) use instant::Now;
pub(crate) use pool::Hangar;
pub(crate) use state::Answer;
pub(crate) use store_limit::in_time;
