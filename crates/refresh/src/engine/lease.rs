//! [`LeaseGuard`]: the exclusive right to refresh a grant, across processes.

use std::time::Duration;

use super::{current_tokens::Now, entry::GrantEntry, runtime::sleep};
use crate::{Lease, LeaseOutcome, StoreError, config::TIME_TO_SAVE};

/// The exclusive right to refresh a grant. It ends with a write to the row, with [`release`](Self::release), or after its time.
#[derive(Clone, Copy)]
pub(super) struct LeaseGuard<'a> {
    entry: &'a GrantEntry,
    lease: Lease,
    acquired_at: Now,
}

impl<'a> LeaseGuard<'a> {
    /// Acquires the lease of a grant. Returns `None` if another process holds it.
    pub(super) async fn acquire(entry: &'a GrantEntry) -> Result<Option<Self>, StoreError> {
        let acquired_at = entry.shared.now();
        // Tokens of this process that are not saved yet hold a lease already.
        let held = entry.unsaved_lease().take();
        if let Some(lease) = held {
            let held = Self { entry, lease, acquired_at };
            if held.renew().await? {
                return Ok(Some(held));
            }
        }
        let outcome = entry.shared.store.lease(entry.id, entry.shared.config.lease_ttl()).await?;
        Ok(match outcome {
            LeaseOutcome::Acquired(lease) => Some(Self { entry, lease, acquired_at }),
            LeaseOutcome::Held => None,
        })
    }

    pub(super) const fn lease(self) -> Lease {
        self.lease
    }

    /// Reports whether the lease lasts long enough for a refresh, by either clock; if it does not, renews it.
    ///
    /// The store may have been slow and the machine may have slept, so another process may have the lease by now.
    pub(super) async fn has_time_left(self) -> bool {
        let now = self.entry.shared.now();
        let elapsed = now.monotonic.saturating_duration_since(self.acquired_at.monotonic);
        let elapsed = elapsed.max(now.calendar.saturating_duration_since(self.acquired_at.calendar));
        elapsed < TIME_TO_SAVE / 2 || matches!(self.renew().await, Ok(true))
    }

    /// Renews the lease while `work` runs.
    pub(super) async fn with_renewal<T>(self, work: impl Future<Output = T>) -> T {
        let renew = async {
            loop {
                sleep(self.entry.shared.config.lease_ttl() / 3).await;
                // A lease that was lost is detected by the write of the new tokens.
                drop(self.renew().await);
            }
        };
        tokio::select! {
            biased;
            result = work => result,
            () = renew => unreachable!("renewing never ends"),
        }
    }

    async fn renew(self) -> Result<bool, StoreError> {
        let ttl = self.entry.shared.config.lease_ttl();
        self.entry.shared.store.renew(self.entry.id, self.lease, ttl).await
    }

    /// Releases the lease.
    pub(super) async fn release(self) {
        self.log_failure(self.entry.shared.store.release(self.entry.id, self.lease).await);
    }

    /// Ends the lease without releasing it, as if this process had died: the next holder learns from that that the refresh token
    /// may be spent.
    pub(super) async fn expire_now(self) {
        let expired = self.entry.shared.store.renew(self.entry.id, self.lease, Duration::ZERO).await;
        self.log_failure(expired.map(drop));
    }

    fn log_failure(self, outcome: Result<(), StoreError>) {
        if let Err(error) = outcome {
            tracing::warn!(grant = %self.entry.id, %error, "lease not released: it expires by itself");
        }
    }
}
