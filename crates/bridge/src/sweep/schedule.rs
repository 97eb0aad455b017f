//! What is over is removed, on schedule.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use portcullis_grants::records::Collection;
use tokio::time::sleep;

use crate::inner::Inner;

/// How often. The first time at the start: whatever ended while nobody was there.
const SWEEP_EVERY: Duration = Duration::from_mins(1);

/// Sweeps for as long as the bridge lives.
pub(crate) fn start(inner: &Arc<Inner>) {
    let draining = inner.draining.clone();
    let inner = Arc::downgrade(inner);
    tokio::spawn(async move {
        let sweeping = async {
            while sweep(&inner).await {
                sleep(SWEEP_EVERY.mul_f64(rand::random_range(0.9..1.1))).await;
            }
        };
        tokio::select! {
            () = sweeping => {}
            () = draining.cancelled() => {}
        }
    });
}

/// One sweep; `false` if the bridge is gone.
async fn sweep(inner: &Weak<Inner>) -> bool {
    let Some(inner) = inner.upgrade() else { return false };
    // Each for itself: one that fails does not keep the others from being swept.
    // Sessions come last: their end waits for the provider.
    let others = Collection::ALL.into_iter().filter(|table| *table != Collection::SESSIONS);
    for table in others.chain([Collection::SESSIONS]) {
        let swept = match table {
            // Their end is more than that of a row.
            Collection::SESSIONS => inner.sessions.sweep().await,
            _ => inner.records.sweep(table).await,
        };
        match swept {
            Ok(swept) => tracing::debug!(table = table.as_str(), swept, "swept the bridge's store"),
            Err(error) => tracing::warn!(table = table.as_str(), %error, "the bridge's store could not be swept"),
        }
        if let Ok(rows) = inner.records.count(table).await {
            inner.telemetry.rows(table, rows);
        }
    }
    true
}
