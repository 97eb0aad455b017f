//! The file of the database: only its owner may read it.

use std::{
    fs::{self, OpenOptions},
    io,
    path::Path,
};

use crate::SqliteError;

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
