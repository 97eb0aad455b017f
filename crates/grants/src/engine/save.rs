//! Saving: new tokens are durable before anybody sees them; if they cannot be, they are used and saved later.

use std::{sync::Arc, time::Duration};

use portcullis_core::{AuthError, Reason};
use tokio::time::sleep;

use super::{Hangar, entry::Cell, lease::Reservation, state::Landing, store_limit::in_time};
use crate::{GrantRecord, Lease, StoreError, Swap, TokenSet, Version};

/// How often tokens that could not be saved are tried again. Often: until then the store has a refresh token that is spent.
const AGAIN: Duration = Duration::from_secs(1);

/// Saves `tokens` in place of version `expected`.
pub(super) async fn save(
    hangar: &Arc<Hangar>,
    cell: &Arc<Cell>,
    expected: Version,
    tokens: Arc<TokenSet>,
    reservation: Reservation<'_>,
) -> Landing {
    let saved = attempt(hangar, cell, Some(expected), &tokens, Some(reservation.lease())).await;
    if let Ok(Saved::Superseded(_) | Saved::Removed) = &saved {
        reservation.release().await;
    }
    match saved {
        Ok(Saved::Done) => Landing::Exchanged(tokens),
        Ok(Saved::Superseded(newer)) => {
            hangar.telemetry.adopted.increment(1);
            Landing::Found(newer)
        }
        Ok(Saved::Removed) => {
            tracing::info!(grant = %cell.id, "a grant was removed while it was refreshed");
            Landing::Ended { error: removed(), outlived: false }
        }
        Err(error) => {
            tracing::error!(grant = %cell.id, %error, "new tokens could not be saved: they are used, and saved later");
            hangar.telemetry.unsaved();
            *cell.lease() = Some(reservation.lease());
            hangar.spawn(save_later(Arc::clone(hangar), Arc::clone(cell), Arc::clone(&tokens)));
            Landing::Exchanged(tokens)
        }
    }
}

fn removed() -> AuthError {
    AuthError::new(Reason::GrantEnded).with_source("the grant was removed")
}

/// Tries until the tokens are saved, somebody has newer ones, or the process ends. The grant stays reserved meanwhile, as far as
/// the store allows: others would present the refresh token that is spent.
async fn save_later(hangar: Arc<Hangar>, cell: Arc<Cell>, tokens: Arc<TokenSet>) {
    let ttl = hangar.config.lease_ttl();
    loop {
        let is_last = tokio::select! {
            () = sleep(AGAIN) => false,
            () = hangar.draining.cancelled() => true,
        };
        let lease = *cell.lease();
        if let Some(lease) = lease {
            drop(in_time(hangar.vault.renew(cell.id, lease, ttl)).await);
        }
        let outcome = attempt(&hangar, &cell, None, &tokens, lease).await;
        match &outcome {
            Ok(Saved::Done) => {}
            Ok(Saved::Superseded(newer)) => hangar.settle(&cell, newer),
            Ok(Saved::Removed) => drop(hangar.end(&cell, removed(), false)),
            Err(error) if is_last => {
                tracing::error!(grant = %cell.id, %error, "new tokens are lost: the process ends and they were never saved");
                hangar.telemetry.lost();
                return;
            }
            Err(_) => continue,
        }
        // If the next exchange has not taken it over meanwhile.
        let held = cell.lease().take_if(|held| Some(*held) == lease);
        if let Some(lease) = held.filter(|_| !matches!(outcome, Ok(Saved::Done))) {
            drop(in_time(hangar.vault.release(cell.id, lease)).await);
        }
        hangar.telemetry.saved();
        return;
    }
}

enum Saved {
    Done,
    /// Somebody has saved tokens at least as new.
    Superseded(Arc<TokenSet>),
    /// It is gone, or another login has taken its place.
    Removed,
}

/// Writes `tokens` over anything older of the same login. Without an `expected` version it looks first.
async fn attempt(
    hangar: &Hangar,
    cell: &Cell,
    mut expected: Option<Version>,
    tokens: &Arc<TokenSet>,
    mut lease: Option<Lease>,
) -> Result<Saved, StoreError> {
    let record = GrantRecord::new(hangar.config.issuer.clone(), Arc::clone(tokens));
    loop {
        if let Some(version) = expected {
            match in_time(hangar.vault.swap(cell.id, Some(version), &record, lease)).await? {
                Swap::Written(_) => return Ok(Saved::Done),
                // Without the lease, then: these tokens are newer than what whoever has it can have seen.
                Swap::Fenced => lease = None,
                Swap::Conflict => {}
            }
        }
        let Some(kept) = in_time(hangar.vault.load(cell.id)).await? else { return Ok(Saved::Removed) };
        let stored = kept.record.tokens();
        if !stored.is_of_one_login_with(tokens) {
            return Ok(Saved::Removed);
        }
        if stored.generation() >= tokens.generation() {
            return Ok(Saved::Superseded(Arc::clone(stored)));
        }
        expected = Some(kept.version);
    }
}
