//! [`OpenStore`]: the store of the bridge, opened.

use std::{path::PathBuf, sync::Arc};

use portcullis::sqlite::{SqliteConfig, SqliteError, SqliteStore};
use portcullis::store::{Collection, OpenError, SealedStore, StoreError, WrongKeys};
use portcullis::{BridgedServer, bridge::collections, refresh::GrantStore, types::Clock};

use crate::config::StoreSettings;

/// The store of the bridge, opened.
#[derive(Clone, Debug)]
pub(crate) enum OpenStore {
    /// In the memory of this process.
    Memory,
    /// In a file.
    Sqlite(SealedStore),
}

/// An error of opening the store.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenStoreError {
    #[error(transparent)]
    Sqlite(#[from] SqliteError),
    #[error("{path}: {cause}", path = path.display())]
    Unusable { path: PathBuf, cause: OpenError },
    /// An error of the configuration.
    #[error(
        "`store.encryption_keys_file`: {keys_file} is not the file of keys of {path}: {cause}; put back the keys that it was sealed with, or \
         begin anew: stop every process that uses {path}, move it and its companions (-wal, -shm) away and start again, and then \
         clients register and users log in again",
        keys_file = keys_file.display(),
        path = path.display()
    )]
    WrongKeys { keys_file: PathBuf, path: PathBuf, cause: WrongKeys },
}

impl OpenStore {
    /// Opens the store that `settings` name.
    pub(crate) async fn open(settings: &StoreSettings, clock: Arc<dyn Clock>) -> Result<Self, OpenStoreError> {
        let StoreSettings::Sqlite { path, keys, keys_file } = settings else { return Ok(Self::Memory) };
        let store = SqliteStore::open(SqliteConfig::new(path.as_path()).with_clock(clock)).await?;
        let unusable = |cause| match cause {
            OpenError::WrongKeys(cause) => {
                OpenStoreError::WrongKeys { keys_file: keys_file.clone(), path: path.clone(), cause }
            }
            cause => OpenStoreError::Unusable { path: path.clone(), cause },
        };
        let sealed = SealedStore::open(Arc::new(store), keys.clone(), &all_collections()).await.map_err(unusable)?;
        Ok(Self::Sqlite(sealed))
    }

    /// Returns `server` with this store.
    pub(crate) fn behind(self, server: BridgedServer) -> BridgedServer {
        match self {
            Self::Memory => server,
            Self::Sqlite(sealed) => server.with_sealed_store(sealed),
        }
    }

    /// Checks that the store can be written and that the keys open it, for the readiness probe.
    pub(crate) async fn check(&self) -> Result<(), StoreError> {
        match self {
            Self::Memory => Ok(()),
            Self::Sqlite(sealed) => sealed.check().await,
        }
    }

    /// Closes the store when the process ends, so that the database is whole in one file.
    pub(crate) async fn close(&self) {
        if let Self::Sqlite(sealed) = self
            && let Err(error) = sealed.close().await
        {
            tracing::error!(%error, "the store could not be closed: its -wal file belongs to the database");
        }
    }
}

/// Returns the collections of a bridge, and that of the grants.
pub(crate) fn all_collections() -> Vec<Collection> {
    [&[GrantStore::COLLECTION][..], &collections::ALL].concat()
}
