//! [`Sweep`]: removes expired rows periodically.

use std::{sync::Arc, time::Duration};

use portcullis_store::SealedStore;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{collections, session::Sessions, telemetry::Telemetry};

/// The task that removes expired rows.
pub(crate) struct Sweep {
    pub(crate) records: SealedStore,
    pub(crate) sessions: Sessions,
    pub(crate) telemetry: Arc<Telemetry>,
}

/// The interval. The first sweep runs at the start, for rows that expired while the process was down.
const SWEEP_EVERY: Duration = Duration::from_mins(1);

impl Sweep {
    /// Starts the task, which ends when `draining` is cancelled.
    pub(crate) fn start(self, draining: CancellationToken) {
        tokio::spawn(async move {
            let sweeping = async {
                loop {
                    self.run().await;
                    sleep(SWEEP_EVERY.mul_f64(rand::random_range(0.9..1.1))).await;
                }
            };
            tokio::select! {
                () = sweeping => {}
                () = draining.cancelled() => {}
            }
        });
    }

    async fn run(&self) {
        // A failure of one collection does not affect the others.
        // Sessions are last, because their end waits for the provider.
        let others = collections::ALL.into_iter().filter(|table| *table != collections::SESSIONS);
        for table in others.chain([collections::SESSIONS]) {
            let swept = match table {
                // The end of a session includes its grant.
                collections::SESSIONS => self.sessions.sweep().await,
                _ => self.records.sweep(table).await,
            };
            match swept {
                Ok(swept) => tracing::debug!(table = table.as_str(), swept, "expired rows removed"),
                Err(error) => tracing::warn!(table = table.as_str(), %error, "expired rows could not be removed"),
            }
            if let Ok(rows) = self.records.count(table).await {
                self.telemetry.rows(table, rows);
            }
        }
    }
}

#[cfg(test)]
mod tests;
