//! The limit of sessions per user and client.

use portcullis_core::{GrantId, UnixTime};
use portcullis_store::{Record, RecordKey, StoreError, Version};
use serde::{Deserialize, Serialize};

use super::{EndReason, Session, SessionUser, Sessions, Stage, secret::base64_bytes};
use crate::collections;

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
