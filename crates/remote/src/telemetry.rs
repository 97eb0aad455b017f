//! What is counted and logged about fetches. The names are a stable interface.

use metrics::{Counter, counter};
use portcullis_core::AuthError;
use portcullis_oauth::jwt::KeySet;

use crate::location::Location;

/// Handles made once. Install the recorder before building the key set.
pub(crate) struct Telemetry {
    success: Counter,
    failure: Counter,
}

impl Telemetry {
    pub(crate) fn new() -> Self {
        let fetches = |outcome: &'static str| counter!("portcullis_key_set_fetches_total", "outcome" => outcome);
        Self { success: fetches("success"), failure: fetches("failure") }
    }

    pub(crate) fn fetched(&self, location: &Location, keys: &KeySet) {
        self.success.increment(1);
        for skipped in keys.skipped() {
            tracing::warn!(%location, index = skipped.index, problem = skipped.problem, "key of the set skipped");
        }
        tracing::debug!(%location, keys = keys.len(), "key set fetched");
    }

    pub(crate) fn failed(&self, location: &Location, error: &AuthError) {
        self.failure.increment(1);
        let cause = std::error::Error::source(error);
        tracing::warn!(%location, reason = %error.reason(), cause, "key set could not be fetched");
    }
}

impl std::fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}
