//! Tests of the state machine against random orders of events, and of the whole engine against the interleavings of its tasks.

mod deadlines;
mod fixture;
mod interleavings;
mod model;
mod random_events;
mod reference;
pub(crate) mod runtime;
