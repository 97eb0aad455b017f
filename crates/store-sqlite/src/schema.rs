//! The schema and its versions.

use std::path::Path;

use sqlx::AssertSqlSafe;

use crate::{
    SqliteError,
    connection::{Connection, ConnectionGuard},
};

/// The migrations: each makes a version of the schema from the one before, and the first makes version 1. A migration that was released
/// is never changed.
const MIGRATIONS: [&str; 4] = [
    include_str!("../migrations/1.sql"),
    include_str!("../migrations/2.sql"),
    include_str!("../migrations/3.sql"),
    include_str!("../migrations/4.sql"),
];

/// The application id of our databases: "Port".
const APPLICATION: i64 = 0x506f_7274;

/// Checks that the database is empty or ours, of a supported version, and that it can be written.
pub(crate) async fn check(connection: &Connection, path: &Path) -> Result<(), SqliteError> {
    let mut guard = connection.begin().await?;
    let version = version(&mut guard, path).await?;
    // SQLite opens a read-only file without an error, and fails only on a write.
    guard.script(AssertSqlSafe(format!("PRAGMA user_version = {version}"))).await?;
    guard.roll_back().await
}

/// Brings the schema to the last version. Each step is a transaction, done by one process.
pub(crate) async fn migrate(connection: &Connection, path: &Path) -> Result<(), SqliteError> {
    loop {
        let mut guard = connection.begin().await?;
        let version = version(&mut guard, path).await?;
        let Some(migration) = MIGRATIONS.get(version) else { return guard.roll_back().await };
        let seal = format!("PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {}", version + 1);
        guard.script(*migration).await?;
        guard.script(AssertSqlSafe(seal)).await?;
        guard.commit().await?;
    }
}

/// Returns the number of migrations that the database has seen.
async fn version(guard: &mut ConnectionGuard<'_>, path: &Path) -> Result<usize, SqliteError> {
    let application = number(guard, "PRAGMA application_id").await?;
    let found = number(guard, "PRAGMA user_version").await?;
    let is_empty = application == 0 && found == 0 && number(guard, "SELECT count(*) FROM sqlite_schema").await? == 0;
    if application != APPLICATION && !is_empty {
        return Err(SqliteError::Foreign { path: path.to_owned() });
    }
    let known = MIGRATIONS.len();
    let version = usize::try_from(found).ok().filter(|found| *found <= known);
    version.ok_or_else(|| SqliteError::Later { path: path.to_owned(), found, known })
}

async fn number(guard: &mut ConnectionGuard<'_>, sql: &'static str) -> Result<i64, SqliteError> {
    let row = guard.row(sqlx::query_as::<_, (i64,)>(sql)).await?;
    Ok(row.map_or(0, |(number,)| number))
}
