//! [`ServeError`]: why the server does not start.

use std::io;

use metrics_exporter_prometheus::BuildError;
use portcullis::egress::EgressConfigError;

use crate::{listeners::BindError, store::OpenStoreError};

/// An error that prevents the server from starting.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ServeError(#[from] Failure);

#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) enum Failure {
    Verifiers(#[from] portcullis::verify::ConfigError),
    Egress(#[from] EgressConfigError),
    Bridge(#[from] portcullis::BuildError),
    Store(#[from] OpenStoreError),
    Bind(#[from] BindError),
    Metrics(#[from] BuildError),
    Io(#[from] io::Error),
}

impl ServeError {
    /// Reports whether the configuration is the cause. By convention the process then exits with 2, otherwise with 1.
    #[must_use]
    pub const fn is_configuration(&self) -> bool {
        match &self.0 {
            Failure::Verifiers(_) | Failure::Store(OpenStoreError::WrongKeys { .. }) => true,
            Failure::Egress(_)
            | Failure::Bridge(_)
            | Failure::Store(_)
            | Failure::Bind(_)
            | Failure::Metrics(_)
            | Failure::Io(_) => false,
        }
    }
}
