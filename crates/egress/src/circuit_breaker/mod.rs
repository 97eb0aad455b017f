//! [`CircuitBreaker`]: a failing provider gets one call per back-off window, and a failing credential is not taken for a failing provider.
//!
//! `service` is the tower service, which takes one call from admission to verdict; `circuit` admits calls by its state machine,
//! `suspicion` is the evidence of that state machine, `credentials` remembers which credentials fail, and `sources` limits the calls that
//! one source causes.

mod circuit;
mod credentials;
mod retry_after;
mod service;
mod sources;
mod suspicion;

use std::time::Duration;

pub use credentials::CredentialKey;
pub use retry_after::back_off_window;
pub use service::{Answer, CircuitBreaker, CircuitBreakerFuture, CircuitBreakerLayer};

use crate::EgressErrorKind;

/// Why a call is not sent, and for how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Refusal {
    kind: EgressErrorKind,
    retry_after: Duration,
}
