//! Saving: new tokens are durable before anybody sees them; if they cannot be, they are used and saved later.

use std::{sync::Arc, time::Duration};

use portcullis_core::{AuthError, Reason};
use tokio::time::sleep;

use super::{Hangar, cell::Cell, hangar::in_time, slot::Landing};
use crate::{GrantRecord, Lease, StoreError, Swap, TokenSet, Version};

/// How often tokens that could not be saved are tried again. Often: until then the store has a refresh token that is spent.
const AGAIN: Duration = Duration::from_secs(1);

/// Saves `tokens` in place of version `expected`. The lease is given back.
pub(super) async fn save(
    hangar: &Arc<Hangar>,
    cell: &Arc<Cell>,
    expected: Version,
    tokens: Arc<TokenSet>,
    lease: Lease,
) -> Landing {
    let saved = attempt(hangar, cell, Some(expected), &tokens, Some(lease)).await;
    if let Ok(Saved::Superseded(_) | Saved::Removed) = &saved {
        release(hangar, cell, lease).await;
    }
    match saved {
        Ok(Saved::Done) => Landing::Exchanged(tokens),
        Ok(Saved::Superseded(newer)) => {
            hangar.telemetry.adopted.increment(1);
            Landing::Found(newer)
        }
        Ok(Saved::Removed) => {
            tracing::info!(grant = %cell.id, "a grant was removed while it was refreshed");
            Landing::Ended(AuthError::new(Reason::GrantEnded).with_source("the grant was removed"))
        }
        Err(error) => {
            tracing::error!(grant = %cell.id, %error, "new tokens could not be saved: they are used, and saved later");
            hangar.telemetry.unsaved();
            let later = save_later(Arc::clone(hangar), Arc::clone(cell), Arc::clone(&tokens));
            hangar.spawn(later);
            Landing::Exchanged(tokens)
        }
    }
}

/// Gives a lease back.
pub(super) async fn release(hangar: &Hangar, cell: &Cell, lease: Lease) {
    note(cell, in_time(hangar.vault.release(cell.id, lease)).await);
}

/// Lets a lease run out at once, as if its holder had died: the next one knows that the refresh token may be spent.
pub(super) async fn abandon(hangar: &Hangar, cell: &Cell, lease: Lease) {
    note(cell, in_time(hangar.vault.renew(cell.id, lease, Duration::ZERO)).await.map(drop));
}

fn note(cell: &Cell, outcome: Result<(), StoreError>) {
    if let Err(error) = outcome {
        tracing::warn!(grant = %cell.id, %error, "a lease could not be given back: it runs out");
    }
}

/// Tries until the tokens are saved, somebody has newer ones, or the process ends.
async fn save_later(hangar: Arc<Hangar>, cell: Arc<Cell>, tokens: Arc<TokenSet>) {
    loop {
        let is_last = tokio::select! {
            () = sleep(AGAIN) => false,
            () = hangar.draining.cancelled() => true,
        };
        match attempt(&hangar, &cell, None, &tokens, None).await {
            Ok(Saved::Done | Saved::Removed) => break,
            Ok(Saved::Superseded(newer)) => {
                hangar.settle(&cell, &newer);
                break;
            }
            Err(error) if is_last => {
                tracing::error!(grant = %cell.id, %error, "new tokens are lost: the process ends and they were never saved");
                hangar.telemetry.lost();
                return;
            }
            Err(_) => {}
        }
    }
    hangar.telemetry.saved();
}

enum Saved {
    Done,
    /// Somebody has saved tokens at least as new.
    Superseded(Arc<TokenSet>),
    Removed,
}

/// Writes `tokens` over anything older. Without an `expected` version it looks first.
async fn attempt(
    hangar: &Hangar,
    cell: &Cell,
    mut expected: Option<Version>,
    tokens: &Arc<TokenSet>,
    mut lease: Option<Lease>,
) -> Result<Saved, StoreError> {
    let record = GrantRecord::new(&hangar.provider, Arc::clone(tokens));
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
        if stored.generation() >= tokens.generation() {
            return Ok(Saved::Superseded(Arc::clone(stored)));
        }
        expected = Some(kept.version);
    }
}
