//! What the gate counts and logs. The names are a stable interface: `docs/telemetry.md`.

use std::fmt;

use metrics::{Counter, counter};
use portcullis_core::{AuthError, Reason};

/// Handles made once: counting is then one atomic addition.
pub(super) struct Telemetry {
    accepted: Counter,
    session_not_found: Counter,
    rejected: Vec<Counter>,
}

impl Telemetry {
    pub(super) fn new() -> Self {
        let request = |outcome: &'static str| counter!("portcullis_requests_total", "outcome" => outcome);
        Self {
            accepted: request("accepted"),
            session_not_found: request("session_not_found"),
            rejected: Reason::ALL.iter().map(|reason| request(reason.as_str())).collect(),
        }
    }

    pub(super) fn accepted(&self) {
        self.accepted.increment(1);
        tracing::trace!("request accepted");
    }

    pub(super) fn session_not_found(&self) {
        self.session_not_found.increment(1);
        tracing::info!("request rejected: its session is unknown, or somebody else's");
    }

    pub(super) fn rejected(&self, error: &AuthError) {
        // The list has the order of the enum's variants.
        if let Some(counter) = self.rejected.get(error.reason() as usize) {
            counter.increment(1);
        }
        let reason = error.reason().as_str();
        // Once per window is enough; what began it has been logged.
        let known = matches!(error.reason(), Reason::BackingOff | Reason::ProviderRateLimited);
        if error.reason() == Reason::NoUpstream {
            tracing::error!(reason, "a token of a provider is wanted, but the verifier gives its users no grant");
        } else if error.is_transient() && !known {
            let source = std::error::Error::source(error).map(tracing::field::display);
            tracing::warn!(reason, source, "request rejected: the token cannot be checked");
        } else {
            tracing::debug!(reason, "request rejected");
        }
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}
