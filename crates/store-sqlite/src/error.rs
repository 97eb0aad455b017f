//! [`SqliteError`]: an error of a database file.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use portcullis_store::StoreErrorKind;

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
    /// The store was closed.
    #[error("{path}: the store was closed", path = path.display())]
    #[non_exhaustive]
    Closed {
        /// The file.
        path: PathBuf,
    },
    /// The file at this path is not the one that was opened: it was replaced or deleted. What is written to the opened file would be
    /// lost, so nothing is.
    #[error("{path}: the file was replaced or deleted while it was in use: nothing is read or written before a restart", path = path.display())]
    #[non_exhaustive]
    Replaced {
        /// The file.
        path: PathBuf,
    },
    /// There is no room for what is written.
    #[error("{path}: the disk is full: {source}", path = path.display())]
    #[non_exhaustive]
    Full {
        /// The file.
        path: PathBuf,
        /// The error of SQLite.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The file, its folder or its file system cannot be written.
    #[error("{path}: the file, its folder or its file system is read-only: {source}", path = path.display())]
    #[non_exhaustive]
    ReadOnly {
        /// The file.
        path: PathBuf,
        /// The error of SQLite.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// SQLite fails in another way, as with a damaged file.
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
/// The primary result code: the file cannot be written.
const SQLITE_READONLY: i32 = 8;
/// The primary result code: there is no room.
const SQLITE_FULL: i32 = 13;

impl SqliteError {
    pub(crate) fn new(path: &Path, busy_timeout: Duration, error: sqlx::Error) -> Self {
        let path = path.to_owned();
        match primary_code(&error) {
            Some(SQLITE_BUSY) => Self::Locked { path, busy_timeout },
            Some(SQLITE_FULL) => Self::Full { path, source: error.into() },
            Some(SQLITE_READONLY) => Self::ReadOnly { path, source: error.into() },
            _ => Self::Failed { path, source: error.into() },
        }
    }

    /// Returns the category that callers of the store get.
    pub(crate) const fn kind(&self) -> StoreErrorKind {
        match self {
            Self::Replaced { .. } => StoreErrorKind::Replaced,
            Self::Full { .. } => StoreErrorKind::Full,
            Self::ReadOnly { .. } => StoreErrorKind::ReadOnly,
            _ => StoreErrorKind::Unavailable,
        }
    }
}

/// Reports whether another process has the lock.
pub(crate) fn is_busy(error: &sqlx::Error) -> bool {
    primary_code(error) == Some(SQLITE_BUSY)
}

/// Returns the primary result code: the low byte of the extended one.
fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let code = error.as_database_error()?.code()?.parse::<i32>().ok()?;
    Some(code & 0xff)
}
