//! [`read_secret_file`]: a secret in a file of its own, which is closed to others.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use secrecy::SecretString;
use zeroize::Zeroizing;

/// A file with a secret that is not used. It says where and what, and no content.
#[derive(Debug, thiserror::Error)]
#[error("{} {problem}", path.display())]
pub struct SecretFileError {
    path: PathBuf,
    problem: Problem,
}

#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    #[error(
        "is open to others (mode {mode:03o}, expected 600 or 400, or 640 or 440 where a group has to read it); \
         chmod 600 {} closes it", path.display()
    )]
    Open { mode: u32, path: PathBuf },
}

/// Everything for others, and writing for the group. Reading for the group stays: that is how Kubernetes hands a secret to a
/// program that is not root (`defaultMode: 0400` and `fsGroup`).
#[cfg(unix)]
const CLOSED: u32 = 0o027;

/// The text of the file `path`, which holds a secret. It blocks, for use at the start.
///
/// On Unix the file must be closed to others: a secret that every program on the machine can read is none. Mode 0600, 0400,
/// 0640 and 0440 are accepted, of the file itself where `path` is a link.
///
/// # Errors
/// [`SecretFileError`] if it cannot be read, or is open to others.
pub fn read_secret_file(path: impl AsRef<Path>) -> Result<SecretString, SecretFileError> {
    read(path.as_ref()).map(|text| SecretString::from(text.as_str()))
}

pub(crate) fn read(path: &Path) -> Result<Zeroizing<String>, SecretFileError> {
    read_closed(path).map_err(|problem| SecretFileError { path: path.to_owned(), problem })
}

fn read_closed(path: &Path) -> Result<Zeroizing<String>, Problem> {
    let mut file = File::open(path)?;
    // Of the file that was opened, not of what may be at the path by now.
    refuse_open_to_others(&file, path)?;
    // Room enough from the start: what a growing text leaves behind is not wiped.
    let mut text = Zeroizing::new(String::with_capacity(64 * 1024));
    file.read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(unix)]
fn refuse_open_to_others(file: &File, path: &Path) -> Result<(), Problem> {
    use std::os::unix::fs::PermissionsExt as _;

    let mode = file.metadata()?.permissions().mode() & 0o777;
    if mode & CLOSED == 0 { Ok(()) } else { Err(Problem::Open { mode, path: path.to_owned() }) }
}

#[cfg(not(unix))]
const fn refuse_open_to_others(_: &File, _: &Path) -> Result<(), Problem> {
    Ok(())
}
