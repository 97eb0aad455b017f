//! [`Maintenance`]: what an operator does with the store of a bridge, beside a running server or without one.

use std::sync::Arc;

use portcullis::bridge::{SessionAdministration, SessionSummary, collections};
use portcullis::refresh::GrantStore;
use portcullis::store::{Record, RecordKey, RekeyReport, SealedStore, StoreError};
use portcullis::types::{Clock as _, GrantId, SystemClock};
use serde::de::IgnoredAny;

use crate::config::{Config, ModeSettings, StoreSettings};
use crate::serve_error::{Failure, ServeError};
use crate::store::{OpenStore, all_collections};

/// The store of a bridge, opened for maintenance. A server may use it at the same time.
#[derive(Debug)]
pub struct Maintenance {
    store: SealedStore,
    sessions: SessionAdministration,
}

impl Maintenance {
    /// Opens the store that `config` names.
    ///
    /// # Errors
    /// Returns an error if `config` is not that of a bridge with a store in a file, or if the store or its keys cannot be used.
    pub async fn open(config: &Config) -> Result<Self, ServeError> {
        Ok(Self::open_store(config).await?)
    }

    async fn open_store(config: &Config) -> Result<Self, Failure> {
        let ModeSettings::Bridge(_, settings @ StoreSettings::Sqlite { path, .. }) = &config.mode else {
            return Err(Failure::NoDatabase);
        };
        // A database that does not exist is not created: a wrong path would look like an empty store.
        if !path.exists() {
            return Err(Failure::MissingDatabase(path.clone()));
        }
        let clock = Arc::new(SystemClock::new());
        match OpenStore::open(settings, clock.clone()).await? {
            OpenStore::Memory => Err(Failure::NoDatabase),
            OpenStore::Sqlite(store) => {
                let sessions = SessionAdministration::new(store.clone(), clock);
                Ok(Self { store, sessions })
            }
        }
    }

    /// Seals every row with the first key of the ring: see [`SealedStore::rekey`].
    ///
    /// # Errors
    /// Returns an error if the store cannot be read or written.
    pub async fn rekey(&self) -> Result<RekeyReport, ServeError> {
        Ok(self.store.rekey(&all_collections()).await.map_err(Failure::from)?)
    }

    /// Removes the rows that no key of the ring opens, those that have expired among them, and returns their number: see
    /// [`SealedStore::forget_unreadable`]. Grants whose session is removed in this way are removed too, because no later end of a session
    /// would remove them. It cannot be undone.
    ///
    /// # Errors
    /// Returns an error if the store cannot be read or written, or if no key of the ring opens what is stored.
    pub async fn forget_unreadable(&self) -> Result<u64, ServeError> {
        let now = SystemClock::new().now();
        let forgotten = self.store.forget_unreadable(&all_collections(), now).await.map_err(Failure::Forgetting)?;
        Ok(forgotten + self.remove_grants_without_session().await.map_err(Failure::from)?)
    }

    /// Removes the grants without a session, and returns their number. A login stores its session before its grant, and a session that has
    /// ended keeps its row until its grant has ended.
    async fn remove_grants_without_session(&self) -> Result<u64, StoreError> {
        const PAGE: usize = 256;
        let (mut removed, mut after) = (0, None);
        loop {
            let page = self.store.page::<IgnoredAny>(GrantStore::COLLECTION, after, PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(removed) };
            after = Some(*last);
            for (key, grant) in page {
                let session = RecordKey::of_id(collections::SESSIONS, &key.id());
                if let Some(Record { version, .. }) = grant
                    && self.store.load_bytes_even_expired(session).await?.is_none()
                {
                    removed += u64::from(self.store.remove(key, version).await?);
                }
            }
        }
    }

    /// Returns a page of the sessions that have not ended, after the session `after`, and the number of rows that do not open.
    ///
    /// # Errors
    /// Returns an error if the store cannot be read.
    pub async fn sessions(&self, after: Option<GrantId>) -> Result<(Vec<SessionSummary>, u64), ServeError> {
        Ok(self.sessions.page(after).await.map_err(Failure::from)?)
    }

    /// Ends a session: see [`SessionAdministration::end`]. Returns `false` if there is no such session.
    ///
    /// # Errors
    /// Returns an error if the end cannot be stored.
    pub async fn end_session(&self, session: GrantId) -> Result<bool, ServeError> {
        Ok(self.sessions.end(session).await.map_err(Failure::from)?)
    }

    /// Closes the store, so that the database is whole in one file unless a server uses it.
    ///
    /// # Errors
    /// Returns an error if the store cannot be written.
    pub async fn close(&self) -> Result<(), ServeError> {
        Ok(self.store.close().await.map_err(Failure::from)?)
    }
}

#[cfg(test)]
mod tests {
    use portcullis::store::{KeyRing, MemoryStore};
    use portcullis::types::UnixTime;

    use super::*;

    #[tokio::test]
    async fn a_grant_whose_session_was_removed_is_removed_and_that_of_an_ended_session_is_kept() {
        let store = SealedStore::new(Arc::new(MemoryStore::new()), KeyRing::ephemeral()).expect("not durable");
        let sessions = SessionAdministration::new(store.clone(), Arc::new(SystemClock::new()));
        let maintenance = Maintenance { store, sessions };
        let store = &maintenance.store;
        let grant = |id: u8| RecordKey::of_id(GrantStore::COLLECTION, &[id; 16]);
        for id in 1..=3 {
            store.create(grant(id), &"tokens", UnixTime::MAX).await.expect("memory");
        }
        for (id, expires_at) in [(1, UnixTime::MAX), (2, UnixTime::default())] {
            let session = RecordKey::of_id(collections::SESSIONS, &[id; 16]);
            store.create(session, &"a session", expires_at).await.expect("memory");
        }
        assert_eq!(maintenance.forget_unreadable().await.expect("memory"), 1);
        for (id, is_kept) in [(1, true), (2, true), (3, false)] {
            assert_eq!(store.load::<String>(grant(id)).await.expect("memory").is_some(), is_kept, "{id}");
        }
    }
}
