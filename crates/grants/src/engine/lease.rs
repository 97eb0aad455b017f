//! [`Reservation`]: a grant that is reserved in the store, so that no other process refreshes it.

use std::time::Duration;

use tokio::time::sleep;

use super::{Hangar, Now, entry::Cell, store_limit::in_time};
use crate::{Lease, LeaseOutcome, StoreError, refresher::SAVING};

/// A grant that is reserved in the store. It is given back by a write, by [`release`](Self::release), or by time.
#[derive(Clone, Copy)]
pub(super) struct Reservation<'a> {
    hangar: &'a Hangar,
    cell: &'a Cell,
    lease: Lease,
    since: Now,
}

impl<'a> Reservation<'a> {
    /// Reserves the grant; `None` if another process has.
    pub(super) async fn take(hangar: &'a Hangar, cell: &'a Cell) -> Result<Option<Self>, StoreError> {
        let since = hangar.now();
        let own = cell.lease().take();
        if let Some(lease) = own {
            let own = Self { hangar, cell, lease, since };
            if own.renew().await? {
                return Ok(Some(own));
            }
        }
        let outcome = in_time(hangar.vault.lease(cell.id, hangar.config.lease_ttl())).await?;
        Ok(match outcome {
            LeaseOutcome::Acquired(lease) => Some(Self { hangar, cell, lease, since }),
            LeaseOutcome::Held => None,
        })
    }

    pub(super) const fn lease(self) -> Lease {
        self.lease
    }

    /// Whether there is time enough left for an exchange, by either clock; if not, more is asked for.
    ///
    /// A store may have been slow, and a machine may have slept: somebody else may have the grant by now.
    pub(super) async fn lasts(self) -> bool {
        let now = self.hangar.now();
        let elapsed = now.monotonic.saturating_duration_since(self.since.monotonic);
        let elapsed = elapsed.max(now.calendar.saturating_duration_since(self.since.calendar));
        elapsed < SAVING / 2 || matches!(self.renew().await, Ok(true))
    }

    /// Keeps the grant reserved while `work` goes on.
    pub(super) async fn during<T>(self, work: impl Future<Output = T>) -> T {
        let renew = async {
            loop {
                sleep(self.hangar.config.lease_ttl() / 3).await;
                // One that is lost is noticed when the tokens are saved.
                drop(self.renew().await);
            }
        };
        tokio::select! {
            result = work => result,
            () = renew => unreachable!("renewing never ends"),
        }
    }

    async fn renew(self) -> Result<bool, StoreError> {
        in_time(self.hangar.vault.renew(self.cell.id, self.lease, self.hangar.config.lease_ttl())).await
    }

    /// Gives the grant back.
    pub(super) async fn release(self) {
        self.note(in_time(self.hangar.vault.release(self.cell.id, self.lease)).await);
    }

    /// Lets it run out at once, as if its holder had died: the next one knows that the refresh token may be spent.
    pub(super) async fn abandon(self) {
        let abandoned = in_time(self.hangar.vault.renew(self.cell.id, self.lease, Duration::ZERO)).await;
        self.note(abandoned.map(drop));
    }

    fn note(self, outcome: Result<(), StoreError>) {
        if let Err(error) = outcome {
            tracing::warn!(grant = %self.cell.id, %error, "a lease could not be given back: it runs out");
        }
    }
}
