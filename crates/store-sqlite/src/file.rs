//! The file of the database: only its owner may read it, and its schema is brought to the version of this program.

use std::{
    fs::{self, OpenOptions},
    io,
    path::Path,
};

use sqlx::AssertSqlSafe;

use crate::{
    SqliteError,
    connection::{Connection, ConnectionGuard},
};

/// Creates the file of the database with mode 0600, unless it exists.
pub(crate) fn create(path: &Path) -> Result<(), SqliteError> {
    match create_new(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed(path, "creating it", error)),
        _ => Ok(()),
    }
}

/// Removes the access of other users to the file of the database and to the files that SQLite keeps beside it. New files get the
/// mode of the first.
///
/// The files are not opened: closing them again would drop the locks that another store of this process has on them.
pub(crate) fn close_to_others(path: &Path) -> Result<(), SqliteError> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let mut file = path.as_os_str().to_owned();
        file.push(suffix);
        let file = Path::new(&file);
        match close(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !suffix.is_empty() => {}
            closed => closed.map_err(|error| failed(file, "closing it to others", error))?,
        }
    }
    Ok(())
}

fn create_new(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.sync_all()?;
    // The entry of the file is durable once the folder is.
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[cfg(unix)]
fn close(file: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;

    let mut permissions = fs::metadata(file)?.permissions();
    if permissions.mode() & 0o077 != 0 {
        permissions.set_mode(permissions.mode() & 0o700);
        fs::set_permissions(file, permissions)?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn close(file: &Path) -> io::Result<()> {
    fs::metadata(file).map(drop)
}

fn failed(path: &Path, doing: &'static str, source: io::Error) -> SqliteError {
    SqliteError::File { path: path.to_owned(), doing, source }
}

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
