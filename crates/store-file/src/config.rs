//! [`FileConfig`]: the configuration of a store.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use portcullis_core::{Clock, SystemClock};

/// The configuration of a [`FileStore`](crate::FileStore): its file, its time limit and its clock. A path is a configuration.
#[derive(Clone, Debug)]
pub struct FileConfig {
    pub(crate) path: PathBuf,
    pub(crate) lock_timeout: Duration,
    pub(crate) clock: Arc<dyn Clock>,
}

impl FileConfig {
    /// Creates the configuration for the file `path`. Its folder is created with mode 0700 if it does not exist.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), lock_timeout: Duration::from_secs(5), clock: Arc::new(SystemClock::new()) }
    }

    /// Sets how long, at least, a write waits for another process to unlock the folder before it fails. Default: 5 seconds.
    #[must_use]
    pub const fn with_lock_timeout(mut self, lock_timeout: Duration) -> Self {
        self.lock_timeout = lock_timeout;
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

impl From<PathBuf> for FileConfig {
    fn from(path: PathBuf) -> Self {
        Self::new(path)
    }
}

impl From<&Path> for FileConfig {
    fn from(path: &Path) -> Self {
        Self::new(path)
    }
}

impl From<&str> for FileConfig {
    fn from(path: &str) -> Self {
        Self::new(path)
    }
}
