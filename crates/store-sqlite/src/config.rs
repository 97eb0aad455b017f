//! [`SqliteConfig`]: the configuration of a store.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use portcullis_core::{Clock, SystemClock};

/// The configuration of a [`SqliteStore`](crate::SqliteStore): its file, its time limit and its clock. A path is a configuration.
#[derive(Clone, Debug)]
pub struct SqliteConfig {
    pub(crate) path: PathBuf,
    pub(crate) busy_timeout: Duration,
    pub(crate) clock: Arc<dyn Clock>,
}

impl SqliteConfig {
    /// Creates the configuration for the file `path`; `:memory:` and `file:` have no special meaning.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), busy_timeout: Duration::from_secs(5), clock: Arc::new(SystemClock::new()) }
    }

    /// Sets SQLite's busy timeout: how long, at most, to wait for another process to unlock the database. Default: 5 seconds.
    #[must_use]
    pub const fn with_busy_timeout(mut self, busy_timeout: Duration) -> Self {
        self.busy_timeout = busy_timeout;
        self
    }

    /// Sets the clock that times leases and expiries. Default: [`SystemClock`]. It must be the clock of the machine: all processes
    /// that share the file use it.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
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
