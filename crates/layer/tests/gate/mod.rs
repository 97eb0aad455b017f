//! Tests of the auth layer through its public interface.

mod challenges;
mod contract;
mod early_responses;
mod identity;
mod in_axum;
mod session_shares;
mod support;
mod telemetry;
mod transport;
