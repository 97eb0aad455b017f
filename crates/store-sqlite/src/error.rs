//! [`SqliteError`]: an error of a database file.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

/// An error of a database file. It quotes nothing of the content of the file, and may be logged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SqliteError {
    /// The file cannot be created, or its mode cannot be set.
    #[error("{path}: {doing}: {source}", path = path.display())]
    #[non_exhaustive]
    File {
        /// The file.
        path: PathBuf,
        /// What was attempted.
        doing: &'static str,
        /// The error of the system.
        source: io::Error,
    },
    /// Another process kept the database locked for too long.
    #[error("{path}: locked by another process for more than {busy_timeout:?}", path = path.display())]
    #[non_exhaustive]
    Locked {
        /// The file.
        path: PathBuf,
        /// How long the store has waited.
        busy_timeout: Duration,
    },
    /// The schema is of a later version of this program.
    #[error("{path}: of a later version of this program (schema {found}, and {known} is the last that is known)", path = path.display())]
    #[non_exhaustive]
    Later {
        /// The file.
        path: PathBuf,
        /// The version of the schema.
        found: i64,
        /// The last version that this program supports.
        known: usize,
    },
    /// The database is not one of this program.
    #[error("{path}: a database, but not of this program", path = path.display())]
    #[non_exhaustive]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The runtime in which the store was opened has ended, so nothing is written any more.
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
        /// The error of SQLite.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The primary result code: another process has the lock.
const SQLITE_BUSY: i32 = 5;

impl SqliteError {
    pub(crate) fn new(path: &Path, busy_timeout: Duration, error: sqlx::Error) -> Self {
        if is_busy(&error) {
            Self::Locked { path: path.to_owned(), busy_timeout }
        } else {
            Self::Failed { path: path.to_owned(), source: error.into() }
        }
    }
}

/// Reports whether another process has the lock.
pub(crate) fn is_busy(error: &sqlx::Error) -> bool {
    // The code is an extended one; its low byte is the primary one.
    let code = error.as_database_error().and_then(|error| error.code()?.parse::<i32>().ok());
    code.is_some_and(|code| code & 0xff == SQLITE_BUSY)
}
