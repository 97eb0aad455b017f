//! How sessions end: at once in this process, then in the store, and then at the provider.

use std::{collections::HashSet, time::Duration};

use portcullis_core::{GrantId, Issuer, UnixTime};
use portcullis_grants::{
    StoreError, Version,
    records::{Collection, Record},
};
use tokio::{sync::broadcast, time::timeout};

use super::{
    Session, Sessions, Stage,
    revocations::{InFlight, Revoked},
    secret::SecretHash,
    sessions::{Decision, id_of, key},
};

/// Why a session ends: a label of metrics, and a field of the log.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum EndReason {
    /// The client or the operator ended it.
    Revoked,
    /// A code was used twice.
    CodeReused,
    /// A refresh token was used twice.
    RefreshTokenReused,
    /// The user's grant at the provider is gone.
    GrantEnded,
    /// The user has too many through the same client, and this is the oldest; or has used too many clients since.
    SessionLimit,
    /// Its time is over, or its code was never used.
    Expired,
}

impl EndReason {
    pub(crate) const ALL: [Self; 6] = [
        Self::Revoked,
        Self::CodeReused,
        Self::RefreshTokenReused,
        Self::GrantEnded,
        Self::SessionLimit,
        Self::Expired,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::CodeReused => "code_reused",
            Self::RefreshTokenReused => "refresh_token_reused",
            Self::GrantEnded => "grant_ended",
            Self::SessionLimit => "crowded",
            Self::Expired => "expired",
        }
    }
}

/// So many sessions are looked at together.
const AT_ONCE: usize = 100;

/// So many whose end does not succeed are passed by in one sweep.
const MAX_PASSED_BY: usize = 1000;

/// So long a process that stops waits for the provider.
const PATIENCE: Duration = Duration::from_secs(10);

/// After so long a provider that cannot be told is not told, and a grant that does not open is left to itself.
const GIVEN_UP_AFTER: Duration = Duration::from_hours(24);

impl Sessions {
    /// Ends a session: its codes and tokens, its grant, and every context that was made from it, at once in this process. `false`
    /// if there was none.
    ///
    /// From the first write on nothing of it works, in any process. The provider is told in the background, and the grant is kept until
    /// it has been: a process that dies in between leaves it to the [sweep](Self::sweep).
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be written down. In this process its contexts are withdrawn nevertheless.
    pub(crate) async fn end(&self, id: GrantId, why: EndReason) -> Result<bool, StoreError> {
        let marked = self.mark_ended(id).await;
        // Of what does not exist nobody else need hear.
        match marked {
            Ok(None) => self.invalidate(id),
            Ok(Some(_)) | Err(_) => self.invalidate_everywhere(id),
        }
        let Some((version, since)) = marked? else { return Ok(false) };
        tracing::info!(session = %id, reason = why.as_str(), "a session of the bridge has ended");
        self.0.telemetry.ended(why);
        if let Some(in_flight) = self.0.revocations.begin(id) {
            let (this, wanted) = (self.clone(), self.0.revocations.are_wanted());
            let finishing = async move { this.try_to_finish(&in_flight, id, version, since).await };
            // Whoever ends a session does not wait for the provider.
            if wanted {
                drop(self.0.revocations.tasks.spawn(finishing));
            } else {
                finishing.await;
            }
        }
        Ok(true)
    }

    /// Takes an access token back, and no other. `false` if it was not good any more.
    ///
    /// All contexts of the session are withdrawn: whose token still works is known again at the next request.
    pub(crate) async fn take_back(&self, id: GrantId, token: SecretHash) -> Result<bool, StoreError> {
        let taken = self.decide(id, |session, _| {
            let Stage::Live(live) = &mut session.stage else { return Decision::Keep(false) };
            if live.take_back(token) { Decision::Replace(true) } else { Decision::Keep(false) }
        });
        let is_taken = taken.await? == Some(true);
        if is_taken {
            self.invalidate_everywhere(id);
        }
        Ok(is_taken)
    }

    /// Ends all sessions of a user. How many. What cannot be read holds up nobody.
    pub(crate) async fn end_of(&self, issuer: &Issuer, subject: &str) -> Result<usize, StoreError> {
        let (mut ended, mut after) = (0, None);
        loop {
            let page = self.0.records.page::<Session>(Collection::SESSIONS, after, AT_ONCE).await?;
            let Some((last, _)) = page.last() else { return Ok(ended) };
            after = Some(*last);
            for (key, opened) in page {
                let is_theirs = opened.is_some_and(|Record { value: session, .. }| {
                    session.user.issuer == *issuer && *session.user.subject == *subject
                });
                if is_theirs && self.end(id_of(&key), EndReason::Revoked).await? {
                    ended += 1;
                }
            }
        }
    }

    /// Withdraws, in this process alone, the contexts that were made of a session. If it has not ended, they are made anew.
    pub(crate) fn invalidate(&self, id: GrantId) {
        self.0.contexts.invalidate(id);
    }

    /// The ids of the sessions whose contexts are withdrawn because of something that happened in this process, from now on.
    pub(crate) fn invalidations(&self) -> broadcast::Receiver<GrantId> {
        self.0.invalidations.subscribe()
    }

    fn invalidate_everywhere(&self, id: GrantId) {
        self.invalidate(id);
        // Nobody listens, if there is one process.
        let _ = self.0.invalidations.send(id);
    }

    /// Ends what is over: the grants of sessions whose time has come, and of codes that nobody redeemed. How many. One whose grant
    /// cannot be ended, or of which the provider cannot be told, does not hold up those behind it.
    pub(crate) async fn sweep(&self) -> Result<u64, StoreError> {
        let mut swept = 0;
        let mut passed_by = HashSet::new();
        loop {
            let due = self.0.records.expired::<Session>(Collection::SESSIONS, AT_ONCE + passed_by.len()).await?;
            let due: Vec<_> = due.into_iter().filter(|(key, _)| !passed_by.contains(key)).collect();
            if due.is_empty() || passed_by.len() > MAX_PASSED_BY {
                return Ok(swept);
            }
            for (key, Record { version, value: session, expires_at, .. }) in due {
                let id = id_of(&key);
                let (is_new, since) = match session.stage {
                    Stage::Ended { since } => (false, since),
                    Stage::Code(_) | Stage::Live(_) => (true, expires_at),
                };
                self.invalidate(id);
                let Some(in_flight) = self.0.revocations.begin(id) else {
                    passed_by.insert(key);
                    continue;
                };
                if !self.try_to_finish(&in_flight, id, version, since).await {
                    passed_by.insert(key);
                    continue;
                }
                swept += 1;
                // Others were counted when they were ended.
                if is_new {
                    self.0.telemetry.ended(EndReason::Expired);
                }
            }
        }
    }

    /// Waits until the provider has been told what it was to be told, for a while.
    pub(crate) async fn shutdown(&self) {
        self.0.revocations.tasks.close();
        // Whoever was not told is told when the store is swept the next time.
        let _ = timeout(PATIENCE, self.0.revocations.tasks.wait()).await;
    }

    /// From here on nothing of it works, in any process. Its version and the time, or `None` if there is none, or none any more.
    async fn mark_ended(&self, id: GrantId) -> Result<Option<(Version, UnixTime)>, StoreError> {
        loop {
            let Some(Record { version, value: mut session, .. }) = self.0.records.load::<Session>(key(id)).await?
            else {
                return Ok(None);
            };
            let since = self.0.clock.now();
            session.stage = Stage::Ended { since };
            if let Some(version) = self.0.records.replace(key(id), version, &session, session.expires_at()).await? {
                return Ok(Some((version, since)));
            }
        }
    }

    /// Ends the grant of a session that has ended, and removes the row. Whether that is done; if not, it is tried again later.
    async fn try_to_finish(&self, _: &InFlight, id: GrantId, version: Version, since: UnixTime) -> bool {
        let is_given_up = self.0.clock.now() >= since + GIVEN_UP_AFTER;
        match self.finish(id, version, is_given_up).await {
            Ok(is_done) => is_done,
            Err(error) => {
                tracing::warn!(session = %id, %error, "the grant of a session that is over could not be ended");
                is_given_up && self.0.records.remove(key(id), version).await.is_ok()
            }
        }
    }

    async fn finish(&self, id: GrantId, version: Version, is_given_up: bool) -> Result<bool, StoreError> {
        let retired = self.0.refresher.deactivate(id).await?;
        if let Some(tokens) = retired
            && self.0.revocations.tell(&tokens).await == Revoked::Retry
            && !is_given_up
        {
            return Ok(false);
        }
        self.0.refresher.delete(id).await?;
        self.0.records.remove(key(id), version).await?;
        Ok(true)
    }
}
