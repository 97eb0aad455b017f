//! The single-flight engine: per grant a state machine, and at most one flight to change it.
//!
//! `slot` decides and does nothing, `journey` does and decides nothing about callers, `hangar` keeps the slots.

mod cell;
mod current;
mod hangar;
mod instant;
mod journey;
mod refusals;
mod reservation;
mod save;
mod slot;
mod store_limit;

#[cfg(test)]
mod tests;

pub(crate) use cell::{Cell, Waiting};
pub(crate) use hangar::Hangar;
pub(crate) use instant::Now;
pub(crate) use slot::Answer;
pub(crate) use store_limit::in_time;
