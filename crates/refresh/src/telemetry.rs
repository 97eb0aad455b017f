//! Metrics of refreshes. Their names are documented in `docs/telemetry.md`.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use crate::RefreshErrorKind;

/// Handles of the metrics, created once.
pub(crate) struct Telemetry {
    provider: &'static str,
    seconds: Histogram,
    /// Callers that waited for a refresh that was running already.
    pub(crate) coalesced: Counter,
    /// Reports of a rejected token that was not the current one any more.
    pub(crate) reports_ignored: Counter,
    /// Tokens that another process had refreshed.
    pub(crate) adopted_from_peer: Counter,
    unsaved: Gauge,
    lost: AtomicUsize,
}

impl Telemetry {
    pub(crate) fn new(provider: &'static str) -> Self {
        Self {
            seconds: histogram!("portcullis_exchange_seconds", "provider" => provider),
            coalesced: counter!("portcullis_refresh_coalesced_total", "provider" => provider),
            reports_ignored: counter!("portcullis_stale_refusals_total", "provider" => provider),
            adopted_from_peer: counter!("portcullis_grants_adopted_total", "provider" => provider),
            unsaved: gauge!("portcullis_grants_unsaved", "provider" => provider),
            lost: AtomicUsize::new(0),
            provider,
        }
    }

    pub(crate) fn refreshed(&self, failure: Option<RefreshErrorKind>, elapsed: Duration) {
        let outcome = failure.map_or("success", RefreshErrorKind::as_str);
        counter!("portcullis_exchanges_total", "provider" => self.provider, "outcome" => outcome).increment(1);
        self.seconds.record(elapsed);
    }

    pub(crate) fn unsaved(&self) {
        self.unsaved.increment(1.0);
    }

    pub(crate) fn saved(&self) {
        self.unsaved.decrement(1.0);
    }

    pub(crate) fn lost(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the number of grants whose newest tokens were never saved.
    pub(crate) fn lost_count(&self) -> usize {
        self.lost.load(Ordering::Relaxed)
    }
}
