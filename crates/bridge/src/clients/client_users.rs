//! [`ClientUsers`]: the users of a registered client.

use std::time::Duration;

use portcullis_core::UnixTime;
use portcullis_store::StoreError;
use serde::{Deserialize, Serialize};

use crate::session::{Sessions, SessionsKey};

/// The maximum number of listed users. Beyond it, only the end of their sessions is stored.
const MAX_LISTED: usize = 8;

/// The minimum time between two updates of [`ClientUsers::others_until`].
const UPDATE_INTERVAL: Duration = Duration::from_hours(24);

/// The users of a registered client, as a part of its row. Rows of older versions have none.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::clients) struct ClientUsers {
    listed: Vec<UserOfClient>,
    /// The latest end of a session of users who are not listed, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    others_until: Option<u64>,
}

/// A user of a client.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct UserOfClient {
    /// The key of the list of the user's sessions through the client.
    sessions: SessionsKey,
    /// Whether the client was released from this user, who had too many clients.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_over: bool,
}

impl ClientUsers {
    pub(in crate::clients) fn is_empty(&self) -> bool {
        self.listed.is_empty() && self.others_until.is_none()
    }

    /// Adds a user with a session that ends at `until` at the latest. Returns whether anything changed.
    pub(in crate::clients) fn add(&mut self, user: SessionsKey, until: UnixTime) -> bool {
        if let Some(known) = self.listed.iter_mut().find(|known| known.sessions == user) {
            return std::mem::take(&mut known.is_over);
        }
        if self.listed.len() < MAX_LISTED {
            self.listed.push(UserOfClient { sessions: user, is_over: false });
            return true;
        }
        let is_new = self.others_until.is_none_or(|noted| UnixTime::from_secs(noted) + UPDATE_INTERVAL <= until);
        if is_new {
            self.others_until = Some(until.as_secs());
        }
        is_new
    }

    /// Notes that the client was released from a user.
    pub(in crate::clients) fn release(&mut self, user: SessionsKey) {
        for known in self.listed.iter_mut().filter(|known| known.sessions == user) {
            known.is_over = true;
        }
    }

    /// Reports whether any user has a session through the client.
    pub(in crate::clients) async fn have_session(
        &self,
        sessions: &Sessions,
        now: UnixTime,
    ) -> Result<bool, StoreError> {
        let all = self.listed.iter().map(|known| known.sessions);
        Ok(self.may_have_others(now) || any_alive(sessions, all).await?)
    }

    /// Reports whether a user other than `user` has a session through the client that counts for that user.
    pub(in crate::clients) async fn others_have_session(
        &self,
        user: SessionsKey,
        sessions: &Sessions,
        now: UnixTime,
    ) -> Result<bool, StoreError> {
        let others = self.listed.iter().filter(|known| known.sessions != user && !known.is_over);
        Ok(self.may_have_others(now) || any_alive(sessions, others.map(|known| known.sessions)).await?)
    }

    /// Ends all sessions of the listed users through the client.
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
