//! [`KeyRing::from_file`]: keys in a file of their own.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::{InvalidKeyRing, KeyRing};

/// A key file that is not used. It says where and what, and no content.
#[derive(Debug, thiserror::Error)]
#[error("the key file {} {problem}", path.display())]
pub struct KeyFileError {
    path: PathBuf,
    problem: Problem,
}

#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    #[error("is open to others (mode {0:03o}): whoever copies it can read what it seals; try chmod 600")]
    Open(u32),
    #[error("is no key ring: {0}")]
    Invalid(#[from] InvalidKeyRing),
}

/// Everything for others, and writing for the group. Reading for the group stays: that is how Kubernetes hands a secret to a
/// program that is not root (`defaultMode: 0400` and `fsGroup`).
#[cfg(unix)]
const CLOSED: u32 = 0o027;

impl KeyRing {
    /// The ring in the file `path`, written as [`parse`](Self::parse) reads it. It blocks, for use at the start.
    ///
    /// On Unix the file must be closed to others: a key that everybody on the machine can read protects nothing from them. Mode
    /// 0600, 0400 and 0440 are fine.
    ///
    /// # Errors
    /// [`KeyFileError`] if it cannot be read, is open to others, or is no key ring.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, KeyFileError> {
        let path = path.as_ref();
        read(path).map_err(|problem| KeyFileError { path: path.to_owned(), problem })
    }
}

fn read(path: &Path) -> Result<KeyRing, Problem> {
    let mut file = File::open(path)?;
    // Of the file that was opened, not of what may be at the path by now.
    refuse_open_to_others(&file)?;
    // Room enough from the start: what a growing text leaves behind is not wiped.
    let mut text = Zeroizing::new(String::with_capacity(64 * 1024));
    file.read_to_string(&mut text)?;
    Ok(KeyRing::parse(&text)?)
}

#[cfg(unix)]
fn refuse_open_to_others(file: &File) -> Result<(), Problem> {
    use std::os::unix::fs::PermissionsExt as _;

    let mode = file.metadata()?.permissions().mode() & 0o777;
    if mode & CLOSED == 0 { Ok(()) } else { Err(Problem::Open(mode)) }
}

#[cfg(not(unix))]
const fn refuse_open_to_others(_: &File) -> Result<(), Problem> {
    Ok(())
}
