//! The sessions of one user through one client: never too many.

use portcullis_core::{GrantId, UnixTime};
use portcullis_grants::{
    StoreError,
    records::{Record, RecordKey},
};
use serde::{Deserialize, Serialize};

use super::{EndReason, Session, Sessions, SessionsKey, Stage};

/// The sessions that one user has through one client, the oldest first. Some may have ended.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Crowd(Vec<String>);

impl Crowd {
    fn ids(&self) -> impl Iterator<Item = GrantId> {
        self.0.iter().filter_map(|text| text.parse().ok())
    }
}

impl Sessions {
    /// Counts a new session of a user. If there are too many, the oldest one ends: a program that logs in over and over, or a client that
    /// loses its tokens, fills no disk.
    ///
    /// It is counted after it has begun: one of a process that dies in between is one too many, and expires.
    pub(super) async fn join(&self, id: GrantId, session: &Session) -> Result<(), StoreError> {
        let key = SessionsKey::of(&session.user, &session.client_id).record();
        let expires_at = session.ends_at;
        loop {
            let found = self.0.records.load::<Crowd>(key).await?;
            let (version, mut crowd) = match found {
                Some(Record { version, value, .. }) => (Some(version), value),
                None => (None, Crowd::default()),
            };
            crowd.0.push(id.to_string());
            // Ended first: what is not on the list any more would live on uncounted.
            for id in self.leaving(&mut crowd).await? {
                self.end(id, EndReason::SessionLimit).await?;
            }
            if self.write(key, version, &crowd, expires_at).await? {
                return Ok(());
            }
        }
    }

    /// Whether any of the sessions that are listed there has not ended.
    pub(crate) async fn has_any_of(&self, key: SessionsKey) -> Result<bool, StoreError> {
        let Some(listed) = self.0.records.load::<Crowd>(key.record()).await? else { return Ok(false) };
        for id in listed.value.ids() {
            if self.load(id).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Ends the sessions that are listed there, and removes the list: their client is gone.
    pub(crate) async fn end_all_of(&self, key: SessionsKey) -> Result<(), StoreError> {
        while let Some(listed) = self.0.records.load::<Crowd>(key.record()).await? {
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
        version: Option<portcullis_grants::Version>,
        crowd: &Crowd,
        expires_at: UnixTime,
    ) -> Result<bool, StoreError> {
        let written = match version {
            None => self.0.records.create(key, crowd, expires_at).await?,
            Some(version) => self.0.records.replace(key, version, crowd, expires_at).await?,
        };
        Ok(written.is_some())
    }

    /// Takes out of a crowd that is too large those that have ended, and if that is not enough others, which are returned: first those
    /// whose code nobody has redeemed, which cost a stranger nothing but a window that opens, and then the oldest.
    async fn leaving(&self, crowd: &mut Crowd) -> Result<Vec<GrantId>, StoreError> {
        if crowd.0.len() <= self.0.max {
            return Ok(Vec::new());
        }
        let mut alive = Vec::new();
        for id in crowd.ids() {
            if let Some(session) = self.load(id).await? {
                alive.push((id, matches!(session.stage, Stage::Code(_))));
            }
        }
        let Some(((newest, _), others)) = alive.split_last() else { return Ok(Vec::new()) };
        let (unredeemed, live): (Vec<_>, Vec<_>) = others.iter().partition(|(_, is_unredeemed)| *is_unredeemed);
        let oldest_first = unredeemed.into_iter().chain(live).map(|(id, _)| id);
        let leaving: Vec<_> = oldest_first.take(alive.len().saturating_sub(self.0.max)).collect();
        let staying = alive.iter().map(|(id, _)| id).filter(|id| *id == newest || !leaving.contains(id));
        crowd.0 = staying.map(ToString::to_string).collect();
        Ok(leaving)
    }
}
