//! The end of sessions: first in this process, then in the store, then at the provider; and the limit of sessions per user and client,
//! beyond which the oldest one ends.

use std::{collections::HashSet, time::Duration};

use portcullis_core::{Clock, GrantId, Issuer, UnixTime};
use portcullis_store::{Record, RecordKey, SealedStore, StoreError, Version};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::broadcast,
    time::{Instant, timeout, timeout_at},
};

use super::{
    EndReason, Session, SessionUser, Sessions, Stage,
    secret::{SecretHash, base64_bytes},
    store::{Decision, id_of, key},
    upstream_revocation::{InFlight, Revoked},
};
use crate::collections;

/// The number of sessions that are loaded together.
const PAGE: usize = 100;

/// The maximum number of sessions that one sweep skips because their end fails.
const MAX_SKIPPED: usize = 1000;

/// How long the end of a session waits for the store in all. What is left is done in the background, or by the [sweep](Sessions::sweep).
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a shutdown waits for the provider.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// The time after which a failing revocation at the provider, or a grant that cannot be opened, is abandoned.
const ABANDONED_AFTER: Duration = Duration::from_hours(24);

/// How long after its end the sweep repeats to other processes that a session has ended.
const REPEATED_FOR: Duration = Duration::from_mins(10);

impl Sessions {
    /// Ends a session: its code and tokens, its grant, and immediately its user contexts in this process. Returns `false` if there was
    /// no such session.
    ///
    /// After the first write no token of it is valid, in any process. The grant is revoked at the provider in the background, and kept
    /// until then: if the process dies in between, the [sweep](Self::sweep) completes it.
    ///
    /// # Errors
    /// [`StoreError`] if the end cannot be stored within 5 seconds. The contexts in this process are invalidated nevertheless.
    pub(crate) async fn end(&self, id: GrantId, why: EndReason) -> Result<bool, StoreError> {
        let deadline = Instant::now() + END_TIMEOUT;
        let marked = timeout_at(deadline, mark_ended(&self.0.records, &*self.0.clock, id)).await;
        let marked = marked.unwrap_or_else(|_| Err(StoreError::new("end of a session not stored in time")));
        // Unknown session: no need to notify other processes.
        match marked {
            Ok(None) => self.invalidate(id),
            Ok(Some(_)) | Err(_) => self.invalidate_everywhere(id, deadline).await,
        }
        let Some(version) = marked? else { return Ok(false) };
        tracing::info!(session = %id, reason = why.as_str(), "session ended");
        self.0.telemetry.ended(why);
        if let Some(in_flight) = self.0.revocations.begin(id) {
            let this = self.clone();
            let finishing = async move { this.try_to_finish(&in_flight, id, version, Duration::ZERO).await };
            let finishing = self.0.revocations.tasks.spawn(finishing);
            // The caller does not wait for the provider.
            if !self.0.revocations.are_enabled() {
                let _ = timeout_at(deadline, finishing).await;
            }
        }
        Ok(true)
    }

    /// Revokes one access token. Returns `false` if it was not valid.
    ///
    /// All contexts of the session are invalidated. Other tokens of the session get new ones at the next request.
    pub(crate) async fn revoke_access_token(&self, id: GrantId, token: SecretHash) -> Result<bool, StoreError> {
        let taken = self.decide(id, |session, _| {
            let Stage::Live(tokens) = &mut session.stage else { return Decision::Keep(false) };
            if tokens.revoke_access_token(token) { Decision::Replace(true) } else { Decision::Keep(false) }
        });
        let is_taken = taken.await? == Some(true);
        if is_taken {
            self.invalidate_everywhere(id, Instant::now() + END_TIMEOUT).await;
        }
        Ok(is_taken)
    }

    /// Ends all sessions of a user, and returns their number. Rows that cannot be opened are skipped.
    pub(crate) async fn end_all_for_user(&self, issuer: &Issuer, subject: &str) -> Result<usize, StoreError> {
        let (mut ended, mut after) = (0, None);
        loop {
            let page = self.0.records.page::<Session>(collections::SESSIONS, after, PAGE).await?;
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

    /// Invalidates the contexts of a session in this process only. If the session has not ended, new ones follow.
    pub(crate) fn invalidate(&self, id: GrantId) {
        self.0.contexts.revoke(id);
    }

    /// Returns a feed of the sessions whose contexts this process invalidates.
    pub(crate) fn invalidations(&self) -> broadcast::Receiver<GrantId> {
        self.0.invalidations.subscribe()
    }

    /// Invalidates the contexts that were made of a session in every process: here at once, elsewhere through the feed of the store.
    async fn invalidate_everywhere(&self, id: GrantId, deadline: Instant) {
        self.invalidate(id);
        // An error means that there is no listener in this process.
        let _ = self.0.invalidations.send(id);
        self.tell_other_processes(id, deadline).await;
    }

    async fn tell_other_processes(&self, id: GrantId, deadline: Instant) {
        if let Some(feed) = &self.0.feed
            && timeout_at(deadline, feed.append(id)).await.is_err()
        {
            tracing::warn!(session = %id, "invalidation of a session could not be sent to other processes in time");
        }
    }

    /// Ends the grants of sessions and of codes that were not redeemed and have expired at the `confirmed` time, and returns their number. A
    /// session whose grant cannot be ended does not delay the others.
    pub(crate) async fn sweep(&self, confirmed: UnixTime) -> Result<u64, StoreError> {
        let mut swept = 0;
        let mut skipped = HashSet::new();
        loop {
            let limit = PAGE + skipped.len();
            let expired = self.0.records.expired::<Session>(collections::SESSIONS, confirmed, limit).await?;
            let expired: Vec<_> = expired.into_iter().filter(|(key, _)| !skipped.contains(key)).collect();
            if expired.is_empty() || skipped.len() > MAX_SKIPPED {
                return Ok(swept);
            }
            for (key, Record { version, value: session, expires_at, .. }) in expired {
                let id = id_of(&key);
                let (is_new, since) = match session.stage {
                    Stage::Ended { since } => (false, since),
                    Stage::Code(_) | Stage::Live(_) => (true, expires_at),
                };
                self.invalidate(id);
                // The process that ended the session may have died before it told the other processes.
                if !is_new && confirmed.saturating_duration_since(since) < REPEATED_FOR {
                    self.tell_other_processes(id, Instant::now() + END_TIMEOUT).await;
                }
                let Some(in_flight) = self.0.revocations.begin(id) else {
                    skipped.insert(key);
                    continue;
                };
                if !self.try_to_finish(&in_flight, id, version, confirmed.saturating_duration_since(since)).await {
                    skipped.insert(key);
                    continue;
                }
                swept += 1;
                // Sessions that ended before were counted then.
                if is_new {
                    self.0.telemetry.ended(EndReason::Expired);
                }
            }
        }
    }

    /// Waits for revocations in flight, within a time limit.
    pub(crate) async fn shutdown(&self) {
        self.0.revocations.tasks.close();
        // The next sweep completes the others.
        let _ = timeout(SHUTDOWN_TIMEOUT, self.0.revocations.tasks.wait()).await;
    }

    /// Ends the grant of a session that ended this time ago, and removes the row. Returns `false` if a later sweep has to repeat it.
    async fn try_to_finish(&self, _: &InFlight, id: GrantId, version: Version, ended_for: Duration) -> bool {
        let is_abandoned = ended_for >= ABANDONED_AFTER;
        match self.finish(id, version, is_abandoned).await {
            Ok(is_done) => is_done,
            Err(error) => {
                tracing::warn!(session = %id, %error, "grant of an ended session could not be ended");
                is_abandoned && self.0.records.remove(key(id), version).await.is_ok()
            }
        }
    }

    async fn finish(&self, id: GrantId, version: Version, is_abandoned: bool) -> Result<bool, StoreError> {
        let retired = self.0.refresher.deactivate(id).await?;
        if let Some(tokens) = retired
            && self.0.revocations.revoke(&tokens).await == Revoked::Retry
            && !is_abandoned
        {
            return Ok(false);
        }
        self.0.refresher.delete(id).await?;
        self.0.records.remove(key(id), version).await?;
        Ok(true)
    }
}

/// Marks a session as ended, in the store. Returns the version, or `None` if there is no such session.
pub(super) async fn mark_ended(
    records: &SealedStore,
    clock: &dyn Clock,
    id: GrantId,
) -> Result<Option<Version>, StoreError> {
    loop {
        let Some(Record { version, value: mut session, .. }) = records.load::<Session>(key(id)).await? else {
            return Ok(None);
        };
        session.stage = Stage::Ended { since: clock.now() };
        if let Some(version) = records.replace(key(id), version, &session, session.expires_at()).await? {
            return Ok(Some(version));
        }
    }
}

/// The ids of the sessions of one user through one client, the oldest first. Some may have ended.
#[derive(Clone, Default, Serialize, Deserialize)]
struct UserSessions(Vec<String>);

/// The key of the list of a user's sessions through one client. It reveals neither.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct SessionsKey(#[serde(with = "base64_bytes")] [u8; 32]);

impl UserSessions {
    fn ids(&self) -> impl Iterator<Item = GrantId> {
        self.0.iter().filter_map(|text| text.parse().ok())
    }
}

impl SessionsKey {
    /// Returns the key for `user` and the client `client_id`.
    pub(crate) fn of(user: &SessionUser, client_id: &str) -> Self {
        let parts = [user.issuer.as_str().as_bytes(), user.subject.as_bytes(), client_id.as_bytes()];
        Self(*RecordKey::of(collections::USERS, &parts).as_bytes())
    }

    pub(super) const fn record(self) -> RecordKey {
        RecordKey::new(collections::USERS, self.0)
    }
}

impl Sessions {
    /// Adds a new session to the user's list, and ends the oldest one beyond the limit. So a program that logs in repeatedly, or a client
    /// that loses its tokens, does not fill the store.
    ///
    /// A session is added after it was stored. If the process dies in between, the session is not counted, and expires.
    pub(super) async fn enforce_limit(&self, id: GrantId, session: &Session) -> Result<(), StoreError> {
        let key = SessionsKey::of(&session.user, &session.client_id).record();
        let expires_at = session.ends_at;
        loop {
            let found = self.0.records.load::<UserSessions>(key).await?;
            let (version, mut listed) = match found {
                Some(Record { version, value, .. }) => (Some(version), value),
                None => (None, UserSessions::default()),
            };
            listed.0.push(id.to_string());
            // Before the list is written: a session that is not listed any more would stay uncounted.
            for id in self.excess(&mut listed).await? {
                self.end(id, EndReason::SessionLimit).await?;
            }
            if self.write(key, version, &listed, expires_at).await? {
                return Ok(());
            }
        }
    }

    /// Reports whether any session of the list has not ended.
    pub(crate) async fn has_any_of(&self, key: SessionsKey) -> Result<bool, StoreError> {
        let Some(listed) = self.0.records.load::<UserSessions>(key.record()).await? else { return Ok(false) };
        for id in listed.value.ids() {
            if self.load(id).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Ends the sessions of the list, and removes the list.
    pub(crate) async fn end_all_of(&self, key: SessionsKey) -> Result<(), StoreError> {
        while let Some(listed) = self.0.records.load::<UserSessions>(key.record()).await? {
            for id in listed.value.ids() {
                self.end(id, EndReason::SessionLimit).await?;
            }
            if self.0.records.remove(key.record(), listed.version).await? {
                break;
            }
        }
        Ok(())
    }

    async fn write(
        &self,
        key: RecordKey,
        version: Option<Version>,
        listed: &UserSessions,
        expires_at: UnixTime,
    ) -> Result<bool, StoreError> {
        let written = match version {
            None => self.0.records.create(key, listed, expires_at).await?,
            Some(version) => self.0.records.replace(key, version, listed, expires_at).await?,
        };
        Ok(written.is_some())
    }

    /// Removes ended sessions from a list beyond the limit. Returns further sessions to end: first those with an unredeemed code, which
    /// another site can create by opening a window, then the oldest.
    async fn excess(&self, listed: &mut UserSessions) -> Result<Vec<GrantId>, StoreError> {
        if listed.0.len() <= self.0.max {
            return Ok(Vec::new());
        }
        let mut alive = Vec::new();
        for id in listed.ids() {
            if let Some(session) = self.load(id).await? {
                alive.push((id, matches!(session.stage, Stage::Code(_))));
            }
        }
        let Some(((newest, _), others)) = alive.split_last() else { return Ok(Vec::new()) };
        let (unredeemed, live): (Vec<_>, Vec<_>) = others.iter().partition(|(_, is_unredeemed)| *is_unredeemed);
        let oldest_first = unredeemed.into_iter().chain(live).map(|(id, _)| id);
        let excess: Vec<_> = oldest_first.take(alive.len().saturating_sub(self.0.max)).collect();
        let staying = alive.iter().map(|(id, _)| id).filter(|id| *id == newest || !excess.contains(id));
        listed.0 = staying.map(ToString::to_string).collect();
        Ok(excess)
    }
}
