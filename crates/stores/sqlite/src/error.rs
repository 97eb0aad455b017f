//! [`SqliteError`]: what went wrong with which file.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

/// What went wrong with which file. It names nothing that is in the file, and may be logged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SqliteError {
    /// The file cannot be created, or not be closed to others.
    #[error("{path}: {doing}: {source}", path = path.display())]
    #[non_exhaustive]
    File {
        /// The file.
        path: PathBuf,
        /// What was attempted.
        doing: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// Somebody else kept the database locked for too long.
    #[error("{path}: locked by somebody else for more than {patience:?}", path = path.display())]
    #[non_exhaustive]
    Locked {
        /// The file.
        path: PathBuf,
        /// How long it was waited for.
        patience: Duration,
    },
    /// A later version of this program has been here: what it changed is not known.
    #[error("{path}: of a later version of this program (schema {found}, and {known} is the last that is known)", path = path.display())]
    #[non_exhaustive]
    Later {
        /// The file.
        path: PathBuf,
        /// The version of its schema.
        found: i64,
        /// The last one that is known.
        known: usize,
    },
    /// It is somebody else's database.
    #[error("{path}: a database, but not of this program", path = path.display())]
    #[non_exhaustive]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Nothing is written any more: the runtime in which the store was opened has ended.
    #[error("{path}: the runtime in which it was opened has ended", path = path.display())]
    #[non_exhaustive]
    Ended {
        /// The file.
        path: PathBuf,
    },
    /// SQLite fails: a full disk, a file that is read-only or damaged.
    #[error("{path}: {source}", path = path.display())]
    #[non_exhaustive]
    Failed {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The primary result code: somebody else has the lock.
const SQLITE_BUSY: i32 = 5;

impl SqliteError {
    pub(crate) fn new(path: &Path, patience: Duration, error: sqlx::Error) -> Self {
        if is_busy(&error) {
            Self::Locked { path: path.to_owned(), patience }
        } else {
            Self::Failed { path: path.to_owned(), source: error.into() }
        }
    }
}

/// Whether somebody else has the lock.
pub(crate) fn is_busy(error: &sqlx::Error) -> bool {
    // The code is an extended one; its low byte is the primary one.
    let code = error.as_database_error().and_then(|error| error.code()?.parse::<i32>().ok());
    code.is_some_and(|code| code & 0xff == SQLITE_BUSY)
}
