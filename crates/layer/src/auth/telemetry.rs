//! What the gate counts and logs. The names are a stable interface: `docs/telemetry.md`.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use metrics::{Counter, counter};
use portcullis_core::{AuthError, AuthErrorKind, Reason};
use tokio::time::Instant;

/// How often refusals for one reason are logged, at most: anyone can provoke one. All of them are logged at the level debug.
const INTERVAL: Duration = Duration::from_secs(5);

/// Handles made once: counting is then one atomic addition.
pub(super) struct Telemetry {
    accepted: Counter,
    session_not_found: Counter,
    rejected: Vec<Counter>,
    /// When the next refusal for a reason is logged.
    next: Mutex<HashMap<Reason, Instant>>,
}

impl Telemetry {
    pub(super) fn new() -> Self {
        let request = |outcome: &'static str| counter!("portcullis_requests_total", "outcome" => outcome);
        Self {
            accepted: request("accepted"),
            session_not_found: request("session_not_found"),
            rejected: Reason::ALL.iter().map(|reason| request(reason.as_str())).collect(),
            next: Mutex::default(),
        }
    }

    pub(super) fn accepted(&self) {
        self.accepted.increment(1);
        tracing::trace!("request accepted");
    }

    pub(super) fn session_not_found(&self) {
        self.session_not_found.increment(1);
        tracing::info!("request rejected: its session is not known, has ended, or belongs to another user");
    }

    pub(super) fn rejected(&self, error: &AuthError) {
        // The list has the order of the enum's variants.
        if let Some(counter) = self.rejected.get(error.reason() as usize) {
            counter.increment(1);
        }
        let reason = error.reason().as_str();
        // Once per window is enough; what began it has been logged.
        let known = matches!(error.reason(), Reason::BackingOff | Reason::ProviderRateLimited);
        let source = std::error::Error::source(error).map(tracing::field::display);
        if error.reason() == Reason::NoUpstream {
            tracing::error!(reason, "a token of a provider is wanted, but the verifier gives its users no grant");
        } else if error.is_transient() && !known && self.is_due(error.reason()) {
            tracing::warn!(reason, source, "request rejected: the token cannot be checked");
        } else if error.kind() == AuthErrorKind::InvalidToken && self.is_due(error.reason()) {
            tracing::info!(reason, source, "request rejected: the token is not accepted");
        } else {
            tracing::debug!(reason, source, "request rejected");
        }
    }

    fn is_due(&self, reason: Reason) -> bool {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let is_due = next.get(&reason).is_none_or(|next| now >= *next);
        if is_due {
            next.insert(reason, now + INTERVAL);
        }
        is_due
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}
