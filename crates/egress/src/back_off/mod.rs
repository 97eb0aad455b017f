//! [`CircuitBreakerLayer`]: a failing provider gets one call per back-off window, and one failing credential is no failing provider.

mod answer;
mod breaker;
mod credential_key;
mod credentials;
mod exchange;
mod layer;
mod permit;
mod record;
mod retry_after;
mod service;
mod standing_refusal;
mod suspicion;
mod window;

use std::time::Duration;

pub use answer::Answer;
pub use credential_key::CredentialKey;
pub use layer::CircuitBreakerLayer;
pub use service::{CircuitBreaker, CircuitBreakerFuture};
pub use standing_refusal::CredentialRejection;
pub use window::back_off_window;

use crate::EgressErrorKind;

/// Why a call does not go out, and for how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Refusal {
    kind: EgressErrorKind,
    retry_after: Duration,
}
