//! The durable half of a refresh: [`LeaseGuard`], the exclusive right to refresh a grant across processes; [`save`], which writes the
//! new tokens before a caller sees them; and [`replace`], which writes those of a login. If that fails, they are used and the save is
//! retried.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use portcullis_core::{AuthError, Reason};

use super::{
    pool::{GrantEntry, logged_out},
    runtime::sleep,
    state::{RefreshOutcome, Row},
};
use crate::{
    GrantRecord, Lease, LeaseOutcome, StoreError, Swap, TokenSet, Version, config::TIME_TO_SAVE, token_set::Now,
};

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

    pub(super) const fn entry(self) -> &'a GrantEntry {
        self.entry
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

/// The pause between two attempts. It is short, because until then the store has a refresh token that is spent.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// The row on which new tokens are based.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Base {
    /// There was none: the tokens begin one.
    Absent,
    Row(Version),
}

impl Base {
    const fn version(self) -> Option<Version> {
        match self {
            Self::Absent => None,
            Self::Row(version) => Some(version),
        }
    }
}

/// Replaces the row by `tokens`, if it is as the `base` of the tokens was. The lease ends with it.
pub(super) async fn save(
    entry: &Arc<GrantEntry>,
    base: Base,
    tokens: Arc<TokenSet>,
    lease: LeaseGuard<'_>,
) -> RefreshOutcome {
    let saved = attempt(entry, Some(base), base, &tokens, Some(lease.lease())).await;
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
            entry.shared.spawn(save_later(Arc::clone(entry), base, Arc::clone(&tokens)));
            RefreshOutcome::Refreshed(tokens)
        }
    }
}

fn removed() -> AuthError {
    AuthError::new(Reason::GrantEnded).with_source("the grant was removed")
}

/// Retries until the tokens are saved, the store has newer ones, or the process shuts down. As far as the store allows, the lease
/// is kept meanwhile: another process would present the refresh token that is spent.
async fn save_later(entry: Arc<GrantEntry>, base: Base, tokens: Arc<TokenSet>) {
    let shared = &entry.shared;
    loop {
        let is_last = pause(&entry).await;
        let lease = *entry.unsaved_lease();
        if let Some(lease) = lease {
            drop(shared.store.renew(entry.id, lease, shared.config.lease_ttl()).await);
        }
        let outcome = attempt(&entry, None, base, &tokens, lease).await;
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

/// Waits until the next attempt. Reports whether it is the last one, because the process shuts down.
async fn pause(entry: &GrantEntry) -> bool {
    tokio::select! {
        biased;
        () = sleep(RETRY_INTERVAL) => false,
        () = entry.shared.draining.cancelled() => true,
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

/// Writes `tokens` over an earlier generation of the same login, or begins the row that their `base` lacked. Unless the row is
/// `expected` to be as it was then, it is read first.
async fn attempt(
    entry: &GrantEntry,
    mut expected: Option<Base>,
    base: Base,
    tokens: &Arc<TokenSet>,
    mut lease: Option<Lease>,
) -> Result<Saved, StoreError> {
    let store = &entry.shared.store;
    let record = GrantRecord::new(entry.shared.issuer().clone(), Arc::clone(tokens));
    loop {
        if let Some(base) = expected {
            match store.swap(entry.id, base.version(), &record, lease).await? {
                Swap::Written(version) if base == Base::Absent && entry.has_ended() => {
                    // The user logged out meanwhile, and there was no row to remove.
                    store.remove(entry.id, version).await?;
                    return Ok(Saved::Removed);
                }
                Swap::Written(_) => return Ok(Saved::Written),
                // The write is repeated without the lease: these tokens are newer than those that its new holder can have read.
                Swap::Fenced => lease = None,
                Swap::Conflict => {}
            }
        }
        expected = Some(match store.load(entry.id).await? {
            None if base == Base::Absent && !entry.has_ended() => base,
            None => return Ok(Saved::Removed),
            Some(stored) => {
                let Some(stored_tokens) = entry.shared.same_grant(stored.record.tokens(), tokens) else {
                    return Ok(Saved::Removed);
                };
                if stored_tokens.generation() >= tokens.generation() {
                    return Ok(Saved::Superseded(stored_tokens));
                }
                Base::Row(stored.version)
            }
        });
    }
}

/// Replaces the tokens of a client's grant by the `tokens` of a login, durably, and makes them the current ones.
///
/// They have the next generation, so a refresh in progress in any process finds them when it saves. If the store fails, they are used
/// and the save is retried. The login was begun after this number of `logouts`: after a further one it has no effect, and the error says so.
pub(crate) async fn replace(
    entry: &Arc<GrantEntry>,
    tokens: TokenSet,
    logouts: u32,
) -> Result<Arc<TokenSet>, AuthError> {
    let ends = entry.state().ends();
    match replace_row(entry, &tokens, logouts, 0).await {
        Ok(saved) => {
            let saved = saved.ok_or_else(logged_out)?;
            entry.replace(&saved, ends);
            Ok(saved)
        }
        Err(error) => {
            let (current, floor) = entry.newest();
            let unsaved = Arc::new(tokens.following(current.as_deref(), floor));
            let ends = entry.state().ends();
            if entry.logouts() != logouts {
                return Err(logged_out());
            }
            tracing::error!(grant = %entry.id, %error, "tokens of a login could not be saved: they are used, and the save is retried");
            entry.shared.telemetry.unsaved();
            entry.unsaved_logins.fetch_add(1, Ordering::Relaxed);
            entry.replace(&unsaved, ends);
            entry.shared.spawn(replace_later(Arc::clone(entry), Arc::clone(&unsaved), logouts));
            Ok(unsaved)
        }
    }
}

/// Retries until the tokens of a login are saved, this process has newer ones, or the process shuts down.
async fn replace_later(entry: Arc<GrantEntry>, tokens: Arc<TokenSet>, logouts: u32) {
    let shared = &entry.shared;
    loop {
        let is_last = pause(&entry).await;
        let is_current = || entry.newest().0.is_some_and(|current| current.generation() == tokens.generation());
        let outcome = if is_current() { replace_row(&entry, &tokens, logouts, 1).await } else { Ok(None) };
        match outcome {
            Ok(Some(saved)) => entry.renumber(tokens.generation(), &saved),
            Ok(None) => {}
            Err(error) if is_last => {
                tracing::error!(grant = %entry.id, %error, "tokens of a login are lost: the process shuts down before they could be saved");
                shared.telemetry.lost();
                return;
            }
            Err(_) => continue,
        }
        entry.unsaved_logins.fetch_sub(1, Ordering::Relaxed);
        shared.telemetry.saved();
        return;
    }
}

/// Writes the tokens of a login over whatever the row has. Returns them with the generation that they got; `None`, and no row is left, if
/// the user has logged out since this number of `logouts`. `unsaved` is the number of logins that count as unsaved because of this one.
async fn replace_row(
    entry: &GrantEntry,
    tokens: &TokenSet,
    logouts: u32,
    unsaved: u32,
) -> Result<Option<Arc<TokenSet>>, StoreError> {
    let store = &entry.shared.store;
    loop {
        let stored = store.load(entry.id).await?;
        let (current, floor) = entry.newest();
        let earlier = stored.as_ref().map(|stored| stored.record.tokens().numbered(current.as_deref(), floor));
        let tokens = Arc::new(tokens.clone().following(earlier.as_deref(), floor));
        let record = GrantRecord::new(entry.shared.issuer().clone(), Arc::clone(&tokens));
        let written = store.swap(entry.id, stored.map(|stored| stored.version), &record, None).await?;
        let Swap::Written(version) = written else { continue };
        if entry.logouts() == logouts {
            return Ok(Some(tokens));
        }
        // The logout removed the row before this one was written, or removes it now as well.
        match store.remove(entry.id, version).await {
            // A refresh that began after the logout may have found the row. The tokens of a later login that are not saved yet stay.
            Ok(true) if entry.unsaved_logins.load(Ordering::Relaxed) <= unsaved => {
                drop(entry.end(logged_out(), Row::Removed));
            }
            Ok(_) => {}
            Err(error) => {
                tracing::error!(grant = %entry.id, %error, "tokens of a login could not be removed from the store after a logout");
            }
        }
        return Ok(None);
    }
}
