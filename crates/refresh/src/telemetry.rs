//! Metrics of refreshes. Their names are documented in `docs/telemetry.md`.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use crate::{RefreshErrorKind, config::Role};

/// Handles of the metrics, created once.
pub(crate) struct Telemetry {
    role: Role,
    /// The provider, or the grant type of a client.
    name: &'static str,
    seconds: Histogram,
    /// Callers that waited for a refresh that was running already.
    pub(crate) coalesced: Counter,
    /// Reports of a rejected token that was not the current one any more.
    pub(crate) reports_ignored: Counter,
    /// Tokens that another process had refreshed.
    pub(crate) adopted_from_peer: Counter,
    unsaved: Gauge,
    /// Grants whose last exchange failed. Only a client has so few that the number says something.
    backing_off: Gauge,
    lost: AtomicUsize,
}

impl Telemetry {
    pub(crate) fn new(role: Role, name: &'static str) -> Self {
        match role {
            Role::Server => Self {
                role,
                name,
                seconds: histogram!("portcullis_exchange_seconds", "provider" => name),
                coalesced: counter!("portcullis_refresh_coalesced_total", "provider" => name),
                reports_ignored: counter!("portcullis_stale_refusals_total", "provider" => name),
                adopted_from_peer: counter!("portcullis_grants_adopted_total", "provider" => name),
                unsaved: gauge!("portcullis_grants_unsaved", "provider" => name),
                backing_off: Gauge::noop(),
                lost: AtomicUsize::new(0),
            },
            Role::Client => Self {
                role,
                name,
                seconds: histogram!("portcullis_client_exchange_seconds", "grant" => name),
                coalesced: counter!("portcullis_client_coalesced_waiters_total", "grant" => name),
                reports_ignored: counter!("portcullis_client_stale_401_total", "grant" => name),
                adopted_from_peer: counter!("portcullis_client_adopted_total", "grant" => name),
                unsaved: gauge!("portcullis_client_unsaved", "grant" => name),
                backing_off: gauge!("portcullis_client_backoff_active", "grant" => name),
                lost: AtomicUsize::new(0),
            },
        }
    }

    pub(crate) fn exchanged(&self, failure: Option<RefreshErrorKind>, elapsed: Duration) {
        let outcome = failure.map_or("success", RefreshErrorKind::as_str);
        let exchanges = match self.role {
            Role::Server => counter!("portcullis_exchanges_total", "provider" => self.name, "outcome" => outcome),
            Role::Client => counter!("portcullis_client_exchanges_total", "grant" => self.name, "outcome" => outcome),
        };
        exchanges.increment(1);
        self.seconds.record(elapsed);
    }

    pub(crate) fn unsaved(&self) {
        self.unsaved.increment(1.0);
    }

    pub(crate) fn saved(&self) {
        self.unsaved.decrement(1.0);
    }

    /// Counts a grant that backs off, or one that did and does not any more.
    pub(crate) fn backing_off(&self, before: bool, after: bool) {
        if after && !before {
            self.backing_off.increment(1.0);
        } else if before && !after {
            self.backing_off.decrement(1.0);
        }
    }

    pub(crate) fn lost(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the number of grants whose newest tokens were never saved.
    pub(crate) fn lost_count(&self) -> usize {
        self.lost.load(Ordering::Relaxed)
    }
}
