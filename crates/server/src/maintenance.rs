//! [`Maintenance`]: what an operator does with the store of a bridge, beside a running server or without one.

use std::sync::Arc;

use portcullis::bridge::{SessionAdministration, SessionSummary};
use portcullis::store::{RekeyReport, SealedStore};
use portcullis::types::{Clock as _, GrantId, SystemClock};

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

    /// Removes the rows that no key of the ring opens, and those that have expired, and returns their number: see
    /// [`SealedStore::forget_unreadable`]. It cannot be undone.
    ///
    /// # Errors
    /// Returns an error if the store cannot be read or written, or if no key of the ring opens what is stored.
    pub async fn forget_unreadable(&self) -> Result<u64, ServeError> {
        let now = SystemClock::new().now();
        Ok(self.store.forget_unreadable(&all_collections(), now).await.map_err(Failure::Forgetting)?)
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
}
