//! [`Users`]: who uses a client.

use std::time::Duration;

use portcullis_core::UnixTime;
use portcullis_grants::StoreError;
use serde::{Deserialize, Serialize};

use crate::session::{Sessions, SessionsKey};

/// The number of users of a client that are listed. Of a client with more it is remembered that there are.
const LISTED: usize = 8;

/// The time of [`Users::others_until`] is written down at most so often.
const NOTED_EVERY: Duration = Duration::from_hours(24);

/// Who uses a client: part of the row of its registration. Rows of older versions have none.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::clients) struct Users {
    listed: Vec<UserOfClient>,
    /// When there were more users than are listed: until when one of the others may have a session, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    others_until: Option<u64>,
}

/// A user of a client.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct UserOfClient {
    /// Where the sessions are that this user has through the client.
    sessions: SessionsKey,
    /// Whether the client is no longer among the clients of this user, who has used too many since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_over: bool,
}

impl Users {
    pub(in crate::clients) fn is_empty(&self) -> bool {
        self.listed.is_empty() && self.others_until.is_none()
    }

    /// Notes that a user has a session now, which ends at `until` at the latest. Whether that is anything new.
    pub(in crate::clients) fn note(&mut self, user: SessionsKey, until: UnixTime) -> bool {
        if let Some(known) = self.listed.iter_mut().find(|known| known.sessions == user) {
            return std::mem::take(&mut known.is_over);
        }
        if self.listed.len() < LISTED {
            self.listed.push(UserOfClient { sessions: user, is_over: false });
            return true;
        }
        let is_new = self.others_until.is_none_or(|noted| UnixTime::from_secs(noted) + NOTED_EVERY <= until);
        if is_new {
            self.others_until = Some(until.as_secs());
        }
        is_new
    }

    /// Notes that the client is no longer among those of a user.
    pub(super) fn release(&mut self, user: SessionsKey) {
        for known in self.listed.iter_mut().filter(|known| known.sessions == user) {
            known.is_over = true;
        }
    }

    /// Whether a user has a session through the client.
    pub(in crate::clients) async fn have_session(
        &self,
        sessions: &Sessions,
        now: UnixTime,
    ) -> Result<bool, StoreError> {
        let all = self.listed.iter().map(|known| known.sessions);
        Ok(self.may_have_others(now) || any_alive(sessions, all).await?)
    }

    /// Whether a user other than `user` has a session through the client, which is among the clients of that user.
    pub(super) async fn others_have_session(
        &self,
        user: SessionsKey,
        sessions: &Sessions,
        now: UnixTime,
    ) -> Result<bool, StoreError> {
        let others = self.listed.iter().filter(|known| known.sessions != user && !known.is_over);
        Ok(self.may_have_others(now) || any_alive(sessions, others.map(|known| known.sessions)).await?)
    }

    /// Ends all sessions of the listed users through the client, which is gone.
    pub(in crate::clients) async fn end_sessions(&self, sessions: &Sessions) -> Result<(), StoreError> {
        for user in &self.listed {
            sessions.end_all_of(user.sessions).await?;
        }
        Ok(())
    }

    fn may_have_others(&self, now: UnixTime) -> bool {
        self.others_until.is_some_and(|until| now < UnixTime::from_secs(until))
    }
}

async fn any_alive(sessions: &Sessions, users: impl Iterator<Item = SessionsKey>) -> Result<bool, StoreError> {
    for user in users {
        if sessions.has_any_of(user).await? {
            return Ok(true);
        }
    }
    Ok(false)
}
