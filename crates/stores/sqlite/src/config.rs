//! [`SqliteConfig`]: which file, and how long it is waited for.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// Which file, and how long it is waited for. A path is a configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SqliteConfig {
    pub(crate) path: PathBuf,
    pub(crate) patience: Duration,
}

impl SqliteConfig {
    /// The database in the file `path`; `:memory:` and `file:` mean nothing special.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), patience: Duration::from_secs(5) }
    }

    /// Wait for so long, at most, for another process to unlock the database.
    #[must_use]
    pub const fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }
}

impl From<PathBuf> for SqliteConfig {
    fn from(path: PathBuf) -> Self {
        Self::new(path)
    }
}

impl From<&Path> for SqliteConfig {
    fn from(path: &Path) -> Self {
        Self::new(path)
    }
}

impl From<&str> for SqliteConfig {
    fn from(path: &str) -> Self {
        Self::new(path)
    }
}
