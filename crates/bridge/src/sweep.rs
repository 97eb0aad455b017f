//! Removes expired rows periodically.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::time::sleep;

use crate::{bridge::BridgeState, collections};

/// The interval. The first sweep runs at the start, for rows that expired while the process was down.
const SWEEP_EVERY: Duration = Duration::from_mins(1);

/// Starts the task, which ends with the bridge.
pub(crate) fn start(state: &Arc<BridgeState>) {
    let draining = state.draining.clone();
    let state = Arc::downgrade(state);
    tokio::spawn(async move {
        let sweeping = async {
            while sweep(&state).await {
                sleep(SWEEP_EVERY.mul_f64(rand::random_range(0.9..1.1))).await;
            }
        };
        tokio::select! {
            () = sweeping => {}
            () = draining.cancelled() => {}
        }
    });
}

/// Runs one sweep; `false` if the bridge was dropped.
async fn sweep(state: &Weak<BridgeState>) -> bool {
    let Some(state) = state.upgrade() else { return false };
    // A failure of one collection does not affect the others.
    // Sessions are last, because their end waits for the provider.
    let others = collections::ALL.into_iter().filter(|table| *table != collections::SESSIONS);
    for table in others.chain([collections::SESSIONS]) {
        let swept = match table {
            // The end of a session includes its grant.
            collections::SESSIONS => state.sessions.sweep().await,
            _ => state.records.sweep(table).await,
        };
        match swept {
            Ok(swept) => tracing::debug!(table = table.as_str(), swept, "expired rows removed"),
            Err(error) => tracing::warn!(table = table.as_str(), %error, "expired rows could not be removed"),
        }
        if let Ok(rows) = state.records.count(table).await {
            state.telemetry.rows(table, rows);
        }
    }
    true
}

#[cfg(test)]
mod tests;
