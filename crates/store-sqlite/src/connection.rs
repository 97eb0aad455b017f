//! [`Connection`]: a connection that one caller at a time has; [`OpenedFile`]: the file that it has open; and times, versions and
//! fences as columns.

use std::{
    fs, io, mem,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use portcullis_core::UnixTime;
use portcullis_store::{Lease, Version};
use sqlx::{
    ConnectOptions, Connection as _, FromRow, SqlSafeStr, Sqlite, SqliteConnection,
    query::{Query, QueryAs},
    sqlite::{
        SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqliteQueryResult, SqliteRow, SqliteSynchronous,
    },
};
use tokio::{
    sync::{Mutex, MutexGuard},
    time::{Instant, sleep},
};

use crate::{SqliteConfig, SqliteError, error::is_busy};

/// A statement without rows.
pub(crate) type Statement<'q> = Query<'q, Sqlite, SqliteArguments>;

/// A statement with rows.
pub(crate) type Rows<'q, R> = QueryAs<'q, Sqlite, R, SqliteArguments>;

/// A type that a row is read into. An alias.
pub(crate) trait Columns: for<'r> FromRow<'r, SqliteRow> + Send + Unpin {}

impl<R: for<'r> FromRow<'r, SqliteRow> + Send + Unpin> Columns for R {}

/// A connection that one caller at a time has.
///
/// A caller releases it when it is done. A connection that is dropped half-way, or has failed, is closed, which rolls back its
/// transaction; the next caller opens another. So no transaction is left open that SQLite has ended on its own, as it does when
/// the disk is full.
#[derive(Debug)]
pub(crate) struct Connection {
    file: Arc<OpenedFile>,
    busy_timeout: Duration,
    options: SqliteConnectOptions,
    place: Mutex<Place>,
}

/// Where a connection is that no caller has.
#[derive(Debug)]
enum Place {
    Empty,
    Idle(OpenConnection),
    Closed,
}

/// A connection to a file. If the file was replaced it is never closed: SQLite would delete the write-ahead log of the file that is at
/// the path now.
#[derive(Debug)]
struct OpenConnection {
    file: Arc<OpenedFile>,
    inner: Option<SqliteConnection>,
}

/// The exclusive use of a connection, until it is [released](Self::release).
pub(crate) struct ConnectionGuard<'a> {
    connection_of: &'a Connection,
    place: MutexGuard<'a, Place>,
    connection: OpenConnection,
}

/// How often locks are tried again that SQLite does not wait for.
const RETRY_EVERY: Duration = Duration::from_millis(20);

impl Connection {
    /// Creates a connection that leaves the journal mode of the database as it is.
    pub(crate) fn plain(config: &SqliteConfig, file: Arc<OpenedFile>) -> Self {
        let options = SqliteConnectOptions::new()
            .filename(&config.path)
            // Every commit reaches the disk before it is reported: a refresh token that is lost is a user who is logged out.
            .synchronous(SqliteSynchronous::Full)
            .pragma("fullfsync", "1")
            .busy_timeout(config.busy_timeout)
            .disable_statement_logging();
        Self { file, busy_timeout: config.busy_timeout, options, place: Mutex::new(Place::Empty) }
    }

    /// Creates a connection with a write-ahead log: readers and the writer do not wait for each other.
    pub(crate) fn write_ahead(config: &SqliteConfig, file: Arc<OpenedFile>) -> Self {
        let plain = Self::plain(config, file);
        Self { options: plain.options.journal_mode(SqliteJournalMode::Wal), ..plain }
    }

    /// Waits for the connection, without a time limit: another caller of this process has it.
    pub(crate) async fn take(&self) -> Result<ConnectionGuard<'_>, SqliteError> {
        let mut place = self.place.lock().await;
        self.file.check()?;
        let connection = match mem::replace(&mut *place, Place::Empty) {
            Place::Idle(connection) => connection,
            Place::Empty => {
                let inner = self.connect().await.map_err(|error| self.failed(error))?;
                OpenConnection { file: Arc::clone(&self.file), inner: Some(inner) }
            }
            Place::Closed => {
                *place = Place::Closed;
                return Err(SqliteError::Closed { path: self.file.path().to_owned() });
            }
        };
        Ok(ConnectionGuard { connection_of: self, place, connection })
    }

    /// Closes the connection. The last one to a database merges the write-ahead log into the file, and deletes the log.
    pub(crate) async fn close(&self) -> Result<(), SqliteError> {
        let place = mem::replace(&mut *self.place.lock().await, Place::Closed);
        let Place::Idle(mut connection) = place else { return Ok(()) };
        self.file.check()?;
        match connection.inner.take() {
            Some(connection) => connection.close().await.map_err(|error| self.failed(error)),
            None => Ok(()),
        }
    }

    /// Waits for the connection, and for the lock of the one writer.
    pub(crate) async fn begin(&self) -> Result<ConnectionGuard<'_>, SqliteError> {
        let mut guard = self.take().await?;
        guard.execute(sqlx::query("BEGIN IMMEDIATE")).await?;
        Ok(guard)
    }

    async fn connect(&self) -> sqlx::Result<SqliteConnection> {
        let deadline = Instant::now() + self.busy_timeout;
        loop {
            match self.options.connect().await {
                Err(error) if is_busy(&error) && Instant::now() < deadline => sleep(RETRY_EVERY).await,
                connected => return connected,
            }
        }
    }

    fn failed(&self, error: sqlx::Error) -> SqliteError {
        SqliteError::new(self.file.path(), self.busy_timeout, error)
    }
}

impl OpenConnection {
    const fn inner(&mut self) -> &mut SqliteConnection {
        self.inner.as_mut().expect("it is taken only to be closed")
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        if self.inner.is_some() && self.file.check().is_err() {
            mem::forget(self.inner.take());
        }
    }
}

impl ConnectionGuard<'_> {
    /// Runs a statement to its end: only then it is certain whether it was committed.
    pub(crate) async fn execute(&mut self, statement: Statement<'_>) -> Result<SqliteQueryResult, SqliteError> {
        statement.execute(self.connection.inner()).await.map_err(|error| self.connection_of.failed(error))
    }

    /// Returns the row of a statement that has at most one. Not for a statement that commits on its own: an error of its commit would be missed.
    pub(crate) async fn row<R: Columns>(&mut self, statement: Rows<'_, R>) -> Result<Option<R>, SqliteError> {
        statement.fetch_optional(self.connection.inner()).await.map_err(|error| self.connection_of.failed(error))
    }

    /// Returns all rows of a statement.
    pub(crate) async fn rows<R: Columns>(&mut self, statement: Rows<'_, R>) -> Result<Vec<R>, SqliteError> {
        statement.fetch_all(self.connection.inner()).await.map_err(|error| self.connection_of.failed(error))
    }

    /// Runs several statements.
    pub(crate) async fn script(&mut self, sql: impl SqlSafeStr) -> Result<(), SqliteError> {
        let done = sqlx::raw_sql(sql).execute(self.connection.inner()).await;
        done.map(drop).map_err(|error| self.connection_of.failed(error))
    }

    /// Commits the transaction: it is durable, in the file that is at the path.
    pub(crate) async fn commit(mut self) -> Result<(), SqliteError> {
        self.execute(sqlx::query("COMMIT")).await?;
        self.connection_of.file.check()?;
        self.release();
        Ok(())
    }

    /// Rolls the transaction back.
    pub(crate) async fn roll_back(mut self) -> Result<(), SqliteError> {
        self.execute(sqlx::query("ROLLBACK")).await?;
        self.release();
        Ok(())
    }

    /// Returns the connection for the next caller.
    pub(crate) fn release(mut self) {
        *self.place = Place::Idle(self.connection);
    }
}

/// The file of the database as it was opened.
///
/// SQLite keeps a file open that was replaced or deleted, and what is written to it is lost. So each use of a connection compares the
/// file at the path with the one that was opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct OpenedFile {
    path: PathBuf,
    identity: FileIdentity,
}

/// Device and inode, where there are such.
#[cfg(unix)]
type FileIdentity = (u64, u64);
#[cfg(not(unix))]
type FileIdentity = ();

impl OpenedFile {
    pub(crate) fn at(path: &Path) -> Result<Self, SqliteError> {
        let identity = identity(path).map_err(|error| unreadable(path, error))?;
        Ok(Self { path: path.to_owned(), identity })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Checks that the file at the path is still the one that was opened.
    pub(crate) fn check(&self) -> Result<(), SqliteError> {
        match identity(&self.path) {
            Ok(identity) if identity == self.identity => Ok(()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unreadable(&self.path, error)),
            Ok(_) | Err(_) => Err(SqliteError::Replaced { path: self.path.clone() }),
        }
    }
}

#[cfg(unix)]
fn identity(path: &Path) -> io::Result<FileIdentity> {
    use std::os::unix::fs::MetadataExt;

    fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn identity(path: &Path) -> io::Result<FileIdentity> {
    fs::metadata(path).map(drop)
}

fn unreadable(path: &Path, source: io::Error) -> SqliteError {
    SqliteError::File { path: path.to_owned(), doing: "reading its metadata", source }
}

/// Converts a time to nanoseconds in a column. What is later than the year 2262 becomes "never".
pub(crate) fn from_time(time: UnixTime) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

/// Converts a column to a time.
pub(crate) fn to_time(nanos: i64) -> UnixTime {
    if nanos == i64::MAX { UnixTime::MAX } else { UnixTime::from_nanos(u64::try_from(nanos).unwrap_or(0)) }
}

/// Converts a column to a version.
pub(crate) const fn to_version(column: i64) -> Version {
    Version::new(column.unsigned_abs())
}

/// Converts a version to a column. No row has a version that does not fit.
pub(crate) fn from_version(version: Version) -> i64 {
    from_number(version.number())
}

/// Converts the fence of a lease to a column. No lease has a fence that does not fit.
pub(crate) fn from_fence(lease: Lease) -> i64 {
    from_number(lease.fence)
}

/// Converts a number to a column; one that does not fit becomes the largest.
pub(crate) fn from_number<N: TryInto<i64>>(number: N) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}
