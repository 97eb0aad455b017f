//! The gate, seen from outside.

mod challenges;
mod contract;
mod in_axum;
mod support;
mod transport;
