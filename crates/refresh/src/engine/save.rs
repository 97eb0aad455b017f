//! Saving new tokens: they are durable before a caller sees them. If the save fails they are used, and the save is retried.

use std::{sync::Arc, time::Duration};

use portcullis_core::{AuthError, Reason};

use super::{
    entry::GrantEntry,
    lease::LeaseGuard,
    runtime::sleep,
    state::{RefreshOutcome, Row},
};
use crate::{GrantRecord, Lease, StoreError, Swap, TokenSet, Version};

/// The pause between two attempts. It is short, because until then the store has a refresh token that is spent.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Replaces version `expected` of the row by `tokens`. The lease ends with it.
pub(super) async fn save(
    entry: &Arc<GrantEntry>,
    expected: Version,
    tokens: Arc<TokenSet>,
    lease: LeaseGuard<'_>,
) -> RefreshOutcome {
    let saved = attempt(entry, Some(expected), &tokens, Some(lease.lease())).await;
    // A write releases the lease itself.
    if let Ok(Saved::Superseded(_) | Saved::Removed) = &saved {
        lease.release().await;
    }
    match saved {
        Ok(Saved::Written) => RefreshOutcome::Refreshed(tokens),
        Ok(Saved::Superseded(newer)) => {
            entry.shared.telemetry.adopted_from_peer.increment(1);
            RefreshOutcome::Found(newer)
        }
        Ok(Saved::Removed) => {
            tracing::info!(grant = %entry.id, "grant was removed during its refresh");
            RefreshOutcome::Ended { error: removed(), row: Row::Removed }
        }
        Err(error) => {
            tracing::error!(grant = %entry.id, %error, "new tokens could not be saved: they are used, and the save is retried");
            entry.shared.telemetry.unsaved();
            *entry.unsaved_lease() = Some(lease.lease());
            entry.shared.spawn(save_later(Arc::clone(entry), Arc::clone(&tokens)));
            RefreshOutcome::Refreshed(tokens)
        }
    }
}

fn removed() -> AuthError {
    AuthError::new(Reason::GrantEnded).with_source("the grant was removed")
}

/// Retries until the tokens are saved, the store has newer ones, or the process shuts down. As far as the store allows, the lease
/// is kept meanwhile: another process would present the refresh token that is spent.
async fn save_later(entry: Arc<GrantEntry>, tokens: Arc<TokenSet>) {
    let shared = &entry.shared;
    loop {
        let is_last = tokio::select! {
            biased;
            () = sleep(RETRY_INTERVAL) => false,
            () = shared.draining.cancelled() => true,
        };
        let lease = *entry.unsaved_lease();
        if let Some(lease) = lease {
            drop(shared.store.renew(entry.id, lease, shared.config.lease_ttl()).await);
        }
        let outcome = attempt(&entry, None, &tokens, lease).await;
        match &outcome {
            Ok(Saved::Written) => {}
            Ok(Saved::Superseded(newer)) => entry.install(newer),
            Ok(Saved::Removed) => drop(entry.end(removed(), Row::Removed)),
            Err(error) if is_last => {
                tracing::error!(grant = %entry.id, %error, "new tokens are lost: the process shuts down before they could be saved");
                shared.telemetry.lost();
                return;
            }
            Err(_) => continue,
        }
        // The next refresh may have taken the lease over meanwhile.
        let held = entry.unsaved_lease().take_if(|held| Some(*held) == lease);
        if let Some(lease) = held.filter(|_| !matches!(outcome, Ok(Saved::Written))) {
            drop(shared.store.release(entry.id, lease).await);
        }
        shared.telemetry.saved();
        return;
    }
}

/// The result of an attempt to save tokens.
enum Saved {
    Written,
    /// The row has tokens of the same generation or a later one.
    Superseded(Arc<TokenSet>),
    /// The row is gone, or belongs to another login.
    Removed,
}

/// Writes `tokens` over an earlier generation of the same login. Without an `expected` version it reads the row first.
async fn attempt(
    entry: &GrantEntry,
    mut expected: Option<Version>,
    tokens: &Arc<TokenSet>,
    mut lease: Option<Lease>,
) -> Result<Saved, StoreError> {
    let store = &entry.shared.store;
    let record = GrantRecord::new(entry.shared.issuer().clone(), Arc::clone(tokens));
    loop {
        if let Some(version) = expected {
            match store.swap(entry.id, Some(version), &record, lease).await? {
                Swap::Written(_) => return Ok(Saved::Written),
                // The write is repeated without the lease: these tokens are newer than those that its new holder can have read.
                Swap::Fenced => lease = None,
                Swap::Conflict => {}
            }
        }
        let Some(stored) = store.load(entry.id).await? else { return Ok(Saved::Removed) };
        let stored_tokens = stored.record.tokens();
        if !stored_tokens.is_of_same_login(tokens) {
            return Ok(Saved::Removed);
        }
        if stored_tokens.generation() >= tokens.generation() {
            return Ok(Saved::Superseded(Arc::clone(stored_tokens)));
        }
        expected = Some(stored.version);
    }
}
