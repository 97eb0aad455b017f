//! [`Shares`]: how many self-described clients one user may bring into use.

use std::{sync::Arc, time::Duration};

use portcullis_core::Clock;
use portcullis_grants::{
    StoreError,
    records::{Collection, RecordKey, SealedStore},
};
use serde::{Deserialize, Serialize};

use crate::{
    clients::{
        Client,
        registration::{Registration, registration_key},
    },
    session::{SessionUser, Sessions, SessionsKey},
};

/// One user may bring this part of all registrations into use.
const SHARE: u64 = 100;

/// How many self-described clients one user may bring into use.
///
/// A user who may log in can register clients without end and log in through each, and what is in use is kept for months. So the clients
/// of each user are listed, and of a user with too many the least recently used one goes, with the sessions of that user; one through
/// which another user has a session stays, and is counted among the clients of that other user alone.
#[derive(Debug)]
pub(in crate::clients) struct Shares {
    records: SealedStore,
    sessions: Sessions,
    clock: Arc<dyn Clock>,
    max: usize,
    /// For how long the clients of a user are listed after the last login.
    ttl: Duration,
}

/// The ids of the clients through which one user has logged in, the least recently used first. Some may be gone.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct ClientsOfUser(Vec<Box<str>>);

impl Shares {
    /// Of `max_clients` that there may be, each of which is remembered for `ttl`.
    pub(in crate::clients) fn new(
        max_clients: u64,
        ttl: Duration,
        records: SealedStore,
        sessions: Sessions,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let max = usize::try_from((max_clients / SHARE).max(1)).unwrap_or(usize::MAX);
        Self { records, sessions, clock, max, ttl }
    }

    /// Counts `client` among those that `user` has brought into use: the user has logged in through it. If there are too many, others
    /// go. Whether there was room for it.
    pub(in crate::clients) async fn count(&self, user: &SessionUser, client: &Client) -> Result<bool, StoreError> {
        let key = key(user);
        loop {
            let found = self.records.load::<ClientsOfUser>(key).await?;
            let (version, before) =
                found.map_or_else(|| (None, ClientsOfUser::default()), |found| (Some(found.version), found.value));
            let has_room = before.0.len() < self.max || before.0.iter().any(|id| **id == *client.id());
            let mut clients = before.clone();
            clients.0.retain(|id| **id != *client.id());
            clients.0.push(client.id().into());
            // They go first: what is not listed any more would stay uncounted.
            self.shrink(user, &mut clients).await?;
            if clients == before {
                return Ok(has_room);
            }
            let expires_at = self.clock.now() + self.ttl;
            let written = match version {
                None => self.records.create(key, &clients, expires_at).await?,
                Some(version) => self.records.replace(key, version, &clients, expires_at).await?,
            };
            if written.is_some() {
                return Ok(has_room);
            }
        }
    }

    /// Takes as many off a list that is too long: first those through which no user has a session, and then the least recently used.
    async fn shrink(&self, user: &SessionUser, clients: &mut ClientsOfUser) -> Result<(), StoreError> {
        let excess = clients.0.len().saturating_sub(self.max);
        let Some((_, older)) = clients.0.split_last().filter(|_| excess > 0) else { return Ok(()) };
        let mut leaving: Vec<Box<str>> = Vec::new();
        for id in older {
            if leaving.len() < excess && !self.has_session(user, id).await? {
                leaving.push(id.clone());
            }
        }
        for id in older {
            if leaving.len() < excess && !leaving.contains(id) {
                leaving.push(id.clone());
            }
        }
        for id in &leaving {
            self.release(user, id).await?;
        }
        clients.0.retain(|id| !leaving.contains(id));
        Ok(())
    }

    /// Whether a user has a session through the client `id`; of one with a document, whether `user` has.
    async fn has_session(&self, user: &SessionUser, id: &str) -> Result<bool, StoreError> {
        if has_document(id) {
            return self.sessions.has_any_of(SessionsKey::of(user, id)).await;
        }
        match self.records.load::<Registration>(registration_key(id)).await? {
            Some(known) => known.value.users.have_session(&self.sessions, self.clock.now()).await,
            None => Ok(false),
        }
    }

    /// The client `id` is no longer among those of `user`. If it is not among those of others who have sessions, it is removed, and the
    /// sessions through it end. Documents are not removed: they are of all who use the client, and kept for a day.
    async fn release(&self, user: &SessionUser, id: &str) -> Result<(), StoreError> {
        let own = SessionsKey::of(user, id);
        if has_document(id) {
            return self.sessions.end_all_of(own).await;
        }
        loop {
            let Some(known) = self.records.load::<Registration>(registration_key(id)).await? else {
                return self.sessions.end_all_of(own).await;
            };
            let mut registration = known.value;
            if registration.users.others_have_session(own, &self.sessions, self.clock.now()).await? {
                registration.users.release(own);
                let replaced =
                    self.records.replace(registration_key(id), known.version, &registration, known.expires_at).await?;
                if replaced.is_some() {
                    return self.sessions.end_all_of(own).await;
                }
            } else if self.records.remove(registration_key(id), known.version).await? {
                tracing::info!(
                    client_id = id,
                    "a client is forgotten: its user has brought too many others into use since"
                );
                return registration.users.end_sessions(&self.sessions).await;
            }
        }
    }
}

/// Whether the client `id` describes itself by a document.
fn has_document(id: &str) -> bool {
    id.starts_with("https://") || id.starts_with("http://")
}

/// No issuer is called so: this is no key of [sessions](SessionsKey).
fn key(user: &SessionUser) -> RecordKey {
    RecordKey::of(Collection::USERS, &[b"clients of", user.issuer.as_str().as_bytes(), user.subject.as_bytes()])
}
