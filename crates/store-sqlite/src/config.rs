//! [`SqliteConfig`]: the file, and how long to wait for locks.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// The file of a [`SqliteStore`](crate::SqliteStore), and how long to wait for locks. A path is a configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SqliteConfig {
    pub(crate) path: PathBuf,
    pub(crate) busy_timeout: Duration,
}

impl SqliteConfig {
    /// Creates the configuration for the file `path`; `:memory:` and `file:` have no special meaning.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), busy_timeout: Duration::from_secs(5) }
    }

    /// Sets SQLite's busy timeout: how long, at most, to wait for another process to unlock the database. Default: 5 seconds.
    #[must_use]
    pub const fn with_busy_timeout(mut self, busy_timeout: Duration) -> Self {
        self.busy_timeout = busy_timeout;
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
