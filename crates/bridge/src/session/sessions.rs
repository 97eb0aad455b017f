//! [`Sessions`]: where sessions are kept, changed and ended.

use std::{collections::HashSet, sync::Arc};

use portcullis_core::{Clock, GrantId, Issuer, UnixTime};
use portcullis_grants::{
    ProviderClient, Refresher, StoreError, TokenSet, Vault, Version,
    records::{Opened, RecordKey, Records, Table},
};
use tokio::sync::broadcast;
use tokio_util::task::TaskTracker;

use super::{Session, Stage};
use crate::telemetry::Telemetry;

/// Why a session ends: a label of metrics, and a field of the log.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum End {
    /// The client or the operator ended it.
    Revoked,
    /// A code was used twice.
    CodeReused,
    /// A refresh token was used twice.
    RefreshTokenReused,
    /// The user's grant at the provider is gone.
    GrantEnded,
    /// Its time is over, or its code was never used.
    Expired,
}

impl End {
    pub(crate) const ALL: [Self; 5] =
        [Self::Revoked, Self::CodeReused, Self::RefreshTokenReused, Self::GrantEnded, Self::Expired];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::CodeReused => "code_reused",
            Self::RefreshTokenReused => "refresh_token_reused",
            Self::GrantEnded => "grant_ended",
            Self::Expired => "expired",
        }
    }
}

/// What is to become of a session that was looked at.
pub(crate) enum Decision<T> {
    /// The changed session replaces the one that was looked at, if that is still there; else it is looked at again.
    Replace(T),
    /// It stays as it is.
    Keep(T),
    /// It ends.
    End(End, T),
}

/// Where sessions are kept, changed and ended. Clones share everything.
#[derive(Clone, Debug)]
pub(crate) struct Sessions(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    records: Records,
    vault: Vault,
    refresher: Refresher,
    provider: ProviderClient,
    clock: Arc<dyn Clock>,
    revokes_upstream: bool,
    telemetry: Arc<Telemetry>,
    ended: broadcast::Sender<GrantId>,
    tasks: TaskTracker,
}

/// So many ends may wait for a slow listener before it misses some.
const ENDS: usize = 1024;

/// So many sessions that are over are looked at together.
const SWEPT_AT_ONCE: usize = 100;

/// So many sessions are looked at together.
const PAGE: usize = 100;

impl Sessions {
    pub(crate) fn new(
        records: Records,
        vault: Vault,
        refresher: Refresher,
        provider: ProviderClient,
        clock: Arc<dyn Clock>,
        revokes_upstream: bool,
        telemetry: Arc<Telemetry>,
    ) -> Self {
        let (ended, tasks) = (broadcast::Sender::new(ENDS), TaskTracker::new());
        Self(Arc::new(Inner { records, vault, refresher, provider, clock, revokes_upstream, telemetry, ended, tasks }))
    }

    /// Keeps a new session and the tokens of its grant. `false` if there is one of this id.
    ///
    /// The session comes first: a grant without one would have nobody to end it.
    pub(crate) async fn begin(
        &self,
        id: GrantId,
        session: &Session,
        tokens: Option<TokenSet>,
    ) -> Result<bool, StoreError> {
        if self.0.records.create(key(id), session, session.expires_at()).await?.is_none() {
            return Ok(false);
        }
        match tokens.map(|tokens| self.0.refresher.begin(id, tokens)) {
            None => Ok(true),
            Some(begun) => match begun.await {
                Ok(()) => Ok(true),
                Err(portcullis_grants::CreateError::Store(error)) => Err(error),
                Err(_) => Ok(false),
            },
        }
    }

    /// The session, if it has not ended.
    pub(crate) async fn load(&self, id: GrantId) -> Result<Option<Session>, StoreError> {
        let opened = self.0.records.load::<Session>(key(id)).await?;
        Ok(opened.map(|opened| opened.value).filter(|session| !matches!(session.stage, Stage::Ended)))
    }

    /// Decides something about a session, durably: whoever is first decides, and the others look again. `None` if there is none.
    pub(crate) async fn decide<T>(
        &self,
        id: GrantId,
        mut decide: impl FnMut(&mut Session, UnixTime) -> Decision<T>,
    ) -> Result<Option<T>, StoreError> {
        loop {
            let Some(Opened { version, value: mut session, .. }) = self.0.records.load(key(id)).await? else {
                return Ok(None);
            };
            match decide(&mut session, self.0.clock.now()) {
                Decision::Keep(outcome) => return Ok(Some(outcome)),
                Decision::End(why, outcome) => {
                    self.end(id, why).await?;
                    return Ok(Some(outcome));
                }
                Decision::Replace(outcome) => {
                    let expires_at = session.expires_at();
                    if self.0.records.replace(key(id), version, &session, expires_at).await?.is_some() {
                        return Ok(Some(outcome));
                    }
                }
            }
        }
    }

    /// Ends a session: its codes and tokens, its grant, and every context that was made from it, at once in this process. `false`
    /// if there was none.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be written down. In this process its contexts are withdrawn nevertheless.
    pub(crate) async fn end(&self, id: GrantId, why: End) -> Result<bool, StoreError> {
        let marked = self.mark_ended(id).await;
        if let Ok(None) = marked {
            return Ok(false);
        }
        tracing::info!(session = %id, reason = why.as_str(), "a session of the bridge has ended");
        self.0.telemetry.ended(why);
        let finished = self.finish(id, marked.as_ref().ok().and_then(|version| *version)).await;
        marked?;
        if let Err(error) = finished {
            // Nothing of it works any more; what is left is swept later.
            tracing::warn!(session = %id, %error, "the grant of a session could not be ended");
        }
        Ok(true)
    }

    /// Ends all sessions of a user. How many.
    pub(crate) async fn end_of(&self, issuer: &Issuer, subject: &str) -> Result<usize, StoreError> {
        let (mut ended, mut after) = (0, None);
        loop {
            let page = self.0.records.page::<Session>(Table::Sessions, after, PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(ended) };
            after = Some(*last);
            for (key, Opened { value: session, .. }) in page {
                let is_theirs = session.user.issuer == *issuer && *session.user.subject == *subject;
                if is_theirs && self.end(id_of(&key), End::Revoked).await? {
                    ended += 1;
                }
            }
        }
    }

    /// Withdraws what this process knows of a session that has ended elsewhere.
    pub(crate) async fn withdraw(&self, id: GrantId) -> Result<(), StoreError> {
        self.finish(id, None).await
    }

    /// The ids of sessions that end in this process, from now on.
    pub(crate) fn ended(&self) -> broadcast::Receiver<GrantId> {
        self.0.ended.subscribe()
    }

    /// Whether the grant of a session is still there. One at another provider, which this bridge had before, is of no use.
    pub(crate) async fn has_grant(&self, id: GrantId) -> Result<bool, StoreError> {
        let kept = self.0.vault.load(id).await?;
        Ok(kept.is_some_and(|kept| kept.record.issuer() == self.0.provider.provider().issuer()))
    }

    /// Ends what is over: the grants of sessions whose time has come, and of codes that nobody redeemed. How many. One whose grant
    /// cannot be ended does not hold up those behind it.
    pub(crate) async fn sweep(&self) -> Result<u64, StoreError> {
        let mut swept = 0;
        let mut failed = HashSet::new();
        loop {
            let due = self.0.records.due::<Session>(Table::Sessions, SWEPT_AT_ONCE + failed.len()).await?;
            let due: Vec<_> = due.into_iter().filter(|(key, _)| !failed.contains(key)).collect();
            if due.is_empty() {
                return Ok(swept);
            }
            for (key, opened) in due {
                let id = id_of(&key);
                if let Err(error) = self.finish(id, Some(opened.version)).await {
                    tracing::warn!(session = %id, %error, "the grant of a session that is over could not be ended");
                    failed.insert(key);
                    if failed.len() > SWEPT_AT_ONCE {
                        return Err(error);
                    }
                    continue;
                }
                swept += 1;
                // Others were counted when they were ended.
                if !matches!(opened.value.stage, Stage::Ended) {
                    self.0.telemetry.ended(End::Expired);
                }
            }
        }
    }

    /// Waits until providers have been told what they were to be told.
    pub(crate) async fn shutdown(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    /// From here on nothing of it works, in any process. Its version, or `None` if there is none.
    async fn mark_ended(&self, id: GrantId) -> Result<Option<Version>, StoreError> {
        loop {
            let Some(Opened { version, value: mut session, .. }) = self.0.records.load::<Session>(key(id)).await?
            else {
                return Ok(None);
            };
            session.stage = Stage::Ended;
            let written = self.0.records.replace(key(id), version, &session, session.expires_at()).await?;
            if written.is_some() {
                return Ok(written);
            }
        }
    }

    /// Ends the grant and whatever was made from it, and removes the row.
    async fn finish(&self, id: GrantId, version: Option<Version>) -> Result<(), StoreError> {
        let ended = self.0.refresher.end(id).await;
        // Nobody listens, if there is one process.
        let _ = self.0.ended.send(id);
        if let Some(tokens) = ended?
            && self.0.revokes_upstream
        {
            let (provider, name) = (self.0.provider.clone(), self.0.provider.provider().name());
            self.0.tasks.spawn(async move {
                if let Err(error) = provider.revoke(&tokens).await {
                    let reason = error.reason();
                    tracing::warn!(provider = name, %reason, "a provider was not told that a grant has ended");
                }
            });
        }
        if let Some(version) = version {
            self.0.records.remove(key(id), version).await?;
        }
        Ok(())
    }
}

/// The id is a hash already, and is read back from the key of a row that is due.
fn key(id: GrantId) -> RecordKey {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(id.as_bytes());
    RecordKey::new(Table::Sessions, bytes)
}

fn id_of(key: &RecordKey) -> GrantId {
    let mut id = [0; 16];
    id.copy_from_slice(&key.as_bytes()[..16]);
    GrantId::from_bytes(id)
}
