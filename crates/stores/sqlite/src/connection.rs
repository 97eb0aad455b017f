//! [`Slot`]: a place for one connection.

use std::{path::PathBuf, time::Duration};

use sqlx::{
    ConnectOptions, FromRow, SqlSafeStr, Sqlite, SqliteConnection,
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

/// A statement that only does something.
pub(crate) type Statement<'q> = Query<'q, Sqlite, SqliteArguments>;

/// A statement with rows.
pub(crate) type Rows<'q, R> = QueryAs<'q, Sqlite, R, SqliteArguments>;

/// What a row is read into. An alias.
pub(crate) trait Columns: for<'r> FromRow<'r, SqliteRow> + Send + Unpin {}

impl<R: for<'r> FromRow<'r, SqliteRow> + Send + Unpin> Columns for R {}

/// A place for one connection, which one at a time has.
///
/// It is put back only by who is done with it. One that was dropped half-way, or has failed, is closed, which rolls back what it
/// was doing; the next caller opens another. So no transaction is left open that SQLite has ended on its own, as it does when the
/// disk is full.
#[derive(Debug)]
pub(crate) struct Slot {
    path: PathBuf,
    patience: Duration,
    options: SqliteConnectOptions,
    idle: Mutex<Option<SqliteConnection>>,
}

/// The connection of a slot, until it is [given back](Self::give_back).
pub(crate) struct Taken<'a> {
    slot: &'a Slot,
    place: MutexGuard<'a, Option<SqliteConnection>>,
    connection: SqliteConnection,
}

/// Some locks cannot be waited for; they are tried again after this.
const AGAIN: Duration = Duration::from_millis(20);

impl Slot {
    /// For connections that leave the database in the mode it is in.
    pub(crate) fn plain(config: &SqliteConfig) -> Self {
        let options = SqliteConnectOptions::new()
            .filename(&config.path)
            // Every commit reaches the disk before it is reported: a refresh token that is lost is a user who is logged out.
            .synchronous(SqliteSynchronous::Full)
            .pragma("fullfsync", "1")
            .busy_timeout(config.patience)
            .disable_statement_logging();
        Self { path: config.path.clone(), patience: config.patience, options, idle: Mutex::new(None) }
    }

    /// For connections that write ahead: readers and the writer do not wait for each other.
    pub(crate) fn write_ahead(config: &SqliteConfig) -> Self {
        let plain = Self::plain(config);
        Self { options: plain.options.journal_mode(SqliteJournalMode::Wal), ..plain }
    }

    /// Waits for the connection, for as long as it takes: it is one of our own that has it.
    pub(crate) async fn take(&self) -> Result<Taken<'_>, SqliteError> {
        let mut place = self.idle.lock().await;
        let connection = match place.take() {
            Some(connection) => connection,
            None => self.connect().await.map_err(|error| self.failed(error))?,
        };
        Ok(Taken { slot: self, place, connection })
    }

    /// Waits for the connection, and for the lock that only one writer has.
    pub(crate) async fn begin(&self) -> Result<Taken<'_>, SqliteError> {
        let mut taken = self.take().await?;
        taken.execute(sqlx::query("BEGIN IMMEDIATE")).await?;
        Ok(taken)
    }

    async fn connect(&self) -> sqlx::Result<SqliteConnection> {
        let deadline = Instant::now() + self.patience;
        loop {
            match self.options.connect().await {
                Err(error) if is_busy(&error) && Instant::now() < deadline => sleep(AGAIN).await,
                connected => return connected,
            }
        }
    }

    fn failed(&self, error: sqlx::Error) -> SqliteError {
        SqliteError::new(&self.path, self.patience, error)
    }
}

impl Taken<'_> {
    /// Runs a statement to its end: only then it is known whether it was committed.
    pub(crate) async fn execute(&mut self, statement: Statement<'_>) -> Result<SqliteQueryResult, SqliteError> {
        statement.execute(&mut self.connection).await.map_err(|error| self.slot.failed(error))
    }

    /// The row of a statement that has one at most. Not for one that commits on its own: its last words are not heard.
    pub(crate) async fn row<R: Columns>(&mut self, statement: Rows<'_, R>) -> Result<Option<R>, SqliteError> {
        statement.fetch_optional(&mut self.connection).await.map_err(|error| self.slot.failed(error))
    }

    /// All rows of a statement.
    pub(crate) async fn rows<R: Columns>(&mut self, statement: Rows<'_, R>) -> Result<Vec<R>, SqliteError> {
        statement.fetch_all(&mut self.connection).await.map_err(|error| self.slot.failed(error))
    }

    /// Runs several statements.
    pub(crate) async fn script(&mut self, sql: impl SqlSafeStr) -> Result<(), SqliteError> {
        let done = sqlx::raw_sql(sql).execute(&mut self.connection).await;
        done.map(drop).map_err(|error| self.slot.failed(error))
    }

    /// What was begun is durable.
    pub(crate) async fn commit(mut self) -> Result<(), SqliteError> {
        self.execute(sqlx::query("COMMIT")).await?;
        self.give_back();
        Ok(())
    }

    /// What was begun has not happened.
    pub(crate) async fn roll_back(mut self) -> Result<(), SqliteError> {
        self.execute(sqlx::query("ROLLBACK")).await?;
        self.give_back();
        Ok(())
    }

    /// The next one may have it.
    pub(crate) fn give_back(mut self) {
        *self.place = Some(self.connection);
    }
}
