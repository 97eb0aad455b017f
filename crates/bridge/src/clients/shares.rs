//! [`Shares`]: limits the clients of one user, so that no user takes the room of other users.

use std::{sync::Arc, time::Duration};

use portcullis_core::Clock;
use portcullis_store::{RecordKey, SealedStore, StoreError};
use serde::{Deserialize, Serialize};

use super::{Client, registrations::Registration};
use crate::{
    collections,
    session::{SessionUser, Sessions, SessionsKey},
};

/// The number of clients of one user, as a fraction of all registrations: 1/100.
const SHARE: u64 = 100;

/// Limits the clients of one user, other than configured ones.
///
/// A user who may log in can register any number of clients and log in through each, and used clients are kept for months. So the clients
/// of each user are listed. Beyond the limit the least recently used one is removed, with the user's sessions. A client through which
/// another user has a session stays, and counts only for that other user.
#[derive(Debug)]
pub(super) struct Shares {
    records: SealedStore,
    sessions: Sessions,
    clock: Arc<dyn Clock>,
    max: usize,
    /// The lifetime of a list after the user's last login.
    ttl: Duration,
}

/// The ids of the clients through which one user has logged in, the least recently used first. Some may not exist any more.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct ClientsOfUser(Vec<Box<str>>);

impl Shares {
    /// Creates limits for `max_clients` clients in all, each of which is kept for `ttl`.
    pub(super) fn new(
        max_clients: u64,
        ttl: Duration,
        records: SealedStore,
        sessions: Sessions,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let max = usize::try_from((max_clients / SHARE).max(1)).unwrap_or(usize::MAX);
        Self { records, sessions, clock, max, ttl }
    }

    /// Adds `client`, through which `user` has logged in, to the user's list, and removes others beyond the limit. Returns whether
    /// the list had room.
    pub(super) async fn add(&self, user: &SessionUser, client: &Client) -> Result<bool, StoreError> {
        let key = key(user);
        loop {
            let found = self.records.load::<ClientsOfUser>(key).await?;
            let (version, before) =
                found.map_or_else(|| (None, ClientsOfUser::default()), |found| (Some(found.version), found.value));
            let has_room = before.0.len() < self.max || before.0.iter().any(|id| **id == *client.id());
            let mut clients = before.clone();
            clients.0.retain(|id| **id != *client.id());
            clients.0.push(client.id().into());
            // Before the list is written: a client that is not listed any more would stay uncounted.
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

    /// Removes clients beyond the limit: first those without a session, then the least recently used.
    async fn shrink(&self, user: &SessionUser, clients: &mut ClientsOfUser) -> Result<(), StoreError> {
        let excess = clients.0.len().saturating_sub(self.max);
        let Some((_, older)) = clients.0.split_last().filter(|_| excess > 0) else { return Ok(()) };
        let mut removed: Vec<Box<str>> = Vec::new();
        for id in older {
            if removed.len() < excess && !self.has_session(user, id).await? {
                removed.push(id.clone());
            }
        }
        for id in older {
            if removed.len() < excess && !removed.contains(id) {
                removed.push(id.clone());
            }
        }
        for id in &removed {
            self.release(user, id).await?;
        }
        clients.0.retain(|id| !removed.contains(id));
        Ok(())
    }

    /// Reports whether any user has a session through the client `id`; for a client with a document, whether `user` has one.
    async fn has_session(&self, user: &SessionUser, id: &str) -> Result<bool, StoreError> {
        if has_document(id) {
            return self.sessions.has_any_of(SessionsKey::of(user, id)).await;
        }
        match self.records.load::<Registration>(Registration::key(id)).await? {
            Some(known) => known.value.users.have_session(&self.sessions, self.clock.now()).await,
            None => Ok(false),
        }
    }

    /// Releases the client `id` from `user`, whose sessions through it end. If it is not in use by other users, its registration is
    /// removed. Documents are not removed: all users share them, and they expire after one day.
    async fn release(&self, user: &SessionUser, id: &str) -> Result<(), StoreError> {
        let own = SessionsKey::of(user, id);
        if has_document(id) {
            return self.sessions.end_all_of(own).await;
        }
        loop {
            let Some(known) = self.records.load::<Registration>(Registration::key(id)).await? else {
                return self.sessions.end_all_of(own).await;
            };
            let mut registration = known.value;
            if registration.users.others_have_session(own, &self.sessions, self.clock.now()).await? {
                registration.users.release(own);
                let replaced =
                    self.records.replace(Registration::key(id), known.version, &registration, known.expires_at).await?;
                if replaced.is_some() {
                    return self.sessions.end_all_of(own).await;
                }
            } else if self.records.remove(Registration::key(id), known.version).await? {
                tracing::info!(client_id = id, "client registration removed: its user has too many clients");
                return registration.users.end_sessions(&self.sessions).await;
            }
        }
    }
}

/// Reports whether the client `id` has a metadata document.
fn has_document(id: &str) -> bool {
    id.starts_with("https://") || id.starts_with("http://")
}

/// No issuer has this name, so the key differs from every [`SessionsKey`].
fn key(user: &SessionUser) -> RecordKey {
    RecordKey::of(collections::USERS, &[b"clients of", user.issuer.as_str().as_bytes(), user.subject.as_bytes()])
}
