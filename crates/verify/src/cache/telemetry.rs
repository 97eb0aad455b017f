//! What the cache counts. The names are a stable interface: `docs/telemetry.md`.

use std::time::Duration;

use metrics::{Counter, Histogram, counter, histogram};
use portcullis_core::{AuthError, AuthErrorKind};

/// Handles made once: counting is then one atomic addition. Install the recorder before building the layer.
pub(super) struct Telemetry {
    pub(super) hit: Counter,
    pub(super) stale: Counter,
    pub(super) miss: Counter,
    pub(super) rejected: Counter,
    pub(super) stale_if_error: Counter,
    pub(super) invalidated: Counter,
    valid: Counter,
    invalid: Counter,
    unavailable: Counter,
    seconds: Histogram,
}

impl Telemetry {
    pub(super) fn new() -> Self {
        let lookup = |result: &'static str| counter!("portcullis_cache_lookups_total", "result" => result);
        let resolution = |outcome: &'static str| counter!("portcullis_resolutions_total", "outcome" => outcome);
        Self {
            hit: lookup("hit"),
            stale: lookup("stale"),
            miss: lookup("miss"),
            rejected: lookup("rejected"),
            stale_if_error: counter!("portcullis_cache_stale_if_error_total"),
            invalidated: counter!("portcullis_cache_invalidated_total"),
            valid: resolution("valid"),
            invalid: resolution("invalid"),
            unavailable: resolution("unavailable"),
            seconds: histogram!("portcullis_resolution_seconds"),
        }
    }

    /// Counts one resolution and its `error`, if any.
    pub(super) fn resolved(&self, error: Option<&AuthError>, elapsed: Duration) {
        self.seconds.record(elapsed);
        match error.map(AuthError::kind) {
            None => self.valid.increment(1),
            Some(AuthErrorKind::Unavailable) => self.unavailable.increment(1),
            Some(_) => self.invalid.increment(1),
        }
    }
}

impl std::fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}
