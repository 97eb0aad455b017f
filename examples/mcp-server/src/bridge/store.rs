//! The store, opened.

use std::sync::Arc;

use portcullis::{
    BridgedServer, BuildError,
    core::{Clock, GrantId},
    grants::{KeyRing, StoreError, TokenStore},
    sqlite::{SqliteError, SqliteStore},
};

use crate::config::StoreSettings;

/// The store, opened.
#[derive(Clone, Debug)]
pub(crate) enum OpenStore {
    /// In this process.
    Memory,
    /// In a file.
    Sqlite(SqliteStore, KeyRing),
}

impl OpenStore {
    pub(crate) async fn open(settings: &StoreSettings, clock: Arc<dyn Clock>) -> Result<Self, SqliteError> {
        Ok(match settings {
            StoreSettings::Memory => Self::Memory,
            StoreSettings::Sqlite { path, keys } => {
                Self::Sqlite(SqliteStore::open(path.as_path(), clock).await?, keys.clone())
            }
        })
    }

    /// `server` with this store.
    pub(super) fn behind(self, server: BridgedServer) -> Result<BridgedServer, BuildError> {
        match self {
            Self::Memory => Ok(server),
            Self::Sqlite(store, keys) => server.with_store(store, keys),
        }
    }

    /// Whether it answers: for a readiness probe.
    pub(crate) async fn check(&self) -> Result<(), StoreError> {
        match self {
            Self::Memory => Ok(()),
            Self::Sqlite(store, _) => TokenStore::load(store, GrantId::from_bytes([0; 16])).await.map(drop),
        }
    }
}
