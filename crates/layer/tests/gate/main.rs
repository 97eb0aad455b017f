//! The gate, seen from outside.

mod challenges;
mod contract;
mod support;
mod transport;
