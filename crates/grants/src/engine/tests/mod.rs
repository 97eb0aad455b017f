//! The state machine alone: against every order of events that chance finds, and against every interleaving of threads.

mod chance;
mod clocks;
mod interleavings;
mod support;
mod world;
