//! The metrics and logs of the auth layer. The names are a stable interface: `docs/telemetry.md`.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use metrics::{Counter, counter};
use portcullis_core::{AuthError, AuthErrorKind, Reason};
use tokio::time::Instant;

/// The shortest interval between log lines above the level debug for one reason: any client can provoke rejections.
const INTERVAL: Duration = Duration::from_secs(5);

/// The metric handles, which are created once: an increment is then one atomic addition.
pub(super) struct Telemetry {
    accepted: Counter,
    session_not_found: Counter,
    rejected: Vec<Counter>,
    /// The time of the next log line for a reason.
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
        tracing::info!(
            "request rejected: the session id was not issued to this user, or with keys that this process does not have"
        );
    }

    pub(super) fn rejected(&self, error: &AuthError) {
        // The list has the order of the variants of `Reason`.
        if let Some(counter) = self.rejected.get(error.reason() as usize) {
            counter.increment(1);
        }
        let reason = error.reason().as_str();
        // The underlying errors are read only if the event is enabled.
        let source = || error.causes().map(tracing::field::display);
        if error.reason() == Reason::NoUpstream {
            tracing::error!(reason, "request rejected: an upstream token is required, but the verifier sets no grant");
        } else if !self.is_due(error.reason()) {
            tracing::debug!(reason, source = source(), "request rejected");
        } else if matches!(error.reason(), Reason::BackingOff | Reason::ProviderRateLimited) {
            // The failure that began the back-off has been logged as a warning.
            tracing::info!(reason, source = source(), "request rejected: the verifier waits before its next attempt");
        } else {
            match error.kind() {
                AuthErrorKind::Unavailable => {
                    tracing::warn!(
                        reason,
                        source = source(),
                        "request rejected: the token cannot be verified at present"
                    );
                }
                AuthErrorKind::InvalidToken => {
                    tracing::info!(reason, source = source(), "request rejected: the token is invalid");
                }
                AuthErrorKind::InsufficientScope => {
                    let scopes = tracing::field::display(error.scopes());
                    tracing::info!(reason, scopes, source = source(), "request rejected: the token lacks a scope");
                }
                _ => tracing::info!(
                    reason,
                    source = source(),
                    "request rejected: it has no bearer token, or cannot be parsed"
                ),
            }
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
