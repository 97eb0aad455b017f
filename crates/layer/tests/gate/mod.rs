//! Tests of the auth layer through its public interface.

mod challenges;
mod contract;
mod early_responses;
mod identity;
mod in_axum;
mod sessions;
mod support;
mod telemetry;
mod transport;
