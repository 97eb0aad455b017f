//! The schema and its versions.

use std::path::Path;

use sqlx::AssertSqlSafe;

use crate::{
    SqliteError,
    connection::{Slot, Taken},
};

/// How each version is made of the one before; the number of the first is 1. What has been released is never changed.
const MIGRATIONS: [&str; 3] =
    [include_str!("../migrations/1.sql"), include_str!("../migrations/2.sql"), include_str!("../migrations/3.sql")];

/// By which a database says that it is ours: "Port".
const APPLICATION: i64 = 0x506f_7274;

/// That the database is empty or ours, of a version that is known, and that it can be written.
pub(crate) async fn check(slot: &Slot, path: &Path) -> Result<(), SqliteError> {
    let mut taken = slot.begin().await?;
    let version = version(&mut taken, path).await?;
    // SQLite opens what is read-only without a word, and says so only to who writes.
    taken.script(AssertSqlSafe(format!("PRAGMA user_version = {version}"))).await?;
    taken.roll_back().await
}

/// Brings the schema to the last version. Each step happens as a whole or not at all, and by one process.
pub(crate) async fn migrate(slot: &Slot, path: &Path) -> Result<(), SqliteError> {
    loop {
        let mut taken = slot.begin().await?;
        let version = version(&mut taken, path).await?;
        let Some(migration) = MIGRATIONS.get(version) else { return taken.roll_back().await };
        let seal = format!("PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {}", version + 1);
        taken.script(*migration).await?;
        taken.script(AssertSqlSafe(seal)).await?;
        taken.commit().await?;
    }
}

/// How many migrations the database has seen.
async fn version(taken: &mut Taken<'_>, path: &Path) -> Result<usize, SqliteError> {
    let application = number(taken, "PRAGMA application_id").await?;
    let found = number(taken, "PRAGMA user_version").await?;
    let is_empty = application == 0 && found == 0 && number(taken, "SELECT count(*) FROM sqlite_schema").await? == 0;
    if application != APPLICATION && !is_empty {
        return Err(SqliteError::Foreign { path: path.to_owned() });
    }
    let known = MIGRATIONS.len();
    let version = usize::try_from(found).ok().filter(|found| *found <= known);
    version.ok_or_else(|| SqliteError::Later { path: path.to_owned(), found, known })
}

async fn number(taken: &mut Taken<'_>, sql: &'static str) -> Result<i64, SqliteError> {
    let row = taken.row(sqlx::query_as::<_, (i64,)>(sql)).await?;
    Ok(row.map_or(0, |(number,)| number))
}
