//! [`ServeError`]: why the server does not start.

use std::{io, path::PathBuf};

use metrics_exporter_prometheus::BuildError;
use portcullis::{
    egress::EgressConfigError,
    store::{OpenError, StoreError},
};

use crate::{listeners::BindError, store::OpenStoreError};

/// An error that prevents the server from starting, or a command from finishing.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ServeError(#[from] Failure);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Verifiers(#[from] portcullis::verify::ConfigError),
    #[error(transparent)]
    Egress(#[from] EgressConfigError),
    #[error(transparent)]
    Bridge(#[from] portcullis::BuildError),
    #[error(transparent)]
    Store(#[from] OpenStoreError),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("the configuration has no store in a file: it needs mode = \"bridge\" and `store.url` = \"sqlite://..\"")]
    NoDatabase,
    #[error("{} does not exist: `store.url` names the database of the server, and relative paths begin in the current folder", .0.display())]
    MissingDatabase(PathBuf),
    #[error(transparent)]
    Maintenance(#[from] StoreError),
    #[error("nothing was forgotten: {0}")]
    Forgetting(OpenError),
    #[error(transparent)]
    Metrics(#[from] BuildError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl ServeError {
    /// Reports whether the configuration is the cause. By convention the process then exits with 2, otherwise with 1.
    #[must_use]
    pub const fn is_configuration(&self) -> bool {
        match &self.0 {
            Failure::Verifiers(_)
            | Failure::Store(OpenStoreError::WrongKeys { .. })
            | Failure::NoDatabase
            | Failure::MissingDatabase(_) => true,
            Failure::Egress(_)
            | Failure::Bridge(_)
            | Failure::Store(_)
            | Failure::Bind(_)
            | Failure::Maintenance(_)
            | Failure::Forgetting(_)
            | Failure::Metrics(_)
            | Failure::Io(_) => false,
        }
    }
}
