//! [`FileStoreError`] and [`KeyError`]: errors of the file, and of the key that seals its rows.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use portcullis_store::{InvalidKeyRing, KeyFileError, StoreErrorKind};

/// An error of the file of a store. It names the file, quotes nothing of its content, and may be logged. The file is as it was before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileStoreError {
    /// The file, its folder or a file beside it cannot be used.
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
    /// There is no room for what is written.
    #[error("{path}: {doing}: the disk is full: {source}", path = path.display())]
    #[non_exhaustive]
    Full {
        /// The file.
        path: PathBuf,
        /// What was attempted.
        doing: &'static str,
        /// The error of the system.
        source: io::Error,
    },
    /// The file, its folder or its file system cannot be written.
    #[error("{path}: {doing}: the file, its folder or its file system is read-only: {source}", path = path.display())]
    #[non_exhaustive]
    ReadOnly {
        /// The file.
        path: PathBuf,
        /// What was attempted.
        doing: &'static str,
        /// The error of the system.
        source: io::Error,
    },
    /// Another user could replace the file.
    #[error(
        "{folder}: the folder can be written by other users (mode {mode:03o}, expected 700), who could replace the file; \
         chmod 700 {folder} closes it", folder = folder.display()
    )]
    #[non_exhaustive]
    OpenFolder {
        /// The folder.
        folder: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The folder belongs to another user.
    #[error(
        "{folder}: the folder belongs to another user (user {owner}, and this process is of user {user}), who could replace the file: run \
         the program as that user, or configure a path in a folder of your own", folder = folder.display()
    )]
    #[non_exhaustive]
    ForeignFolder {
        /// The folder.
        folder: PathBuf,
        /// The number of its owner.
        owner: u32,
        /// The number of the user of this process.
        user: u32,
    },
    /// Other users can read or write the file.
    #[error(
        "{path}: the file can be accessed by other users (mode {mode:03o}, expected 600); chmod 600 {path} closes it",
        path = path.display()
    )]
    #[non_exhaustive]
    OpenFile {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Another process kept the file locked for too long.
    #[error("{path}: locked by another process for more than {waited:?}", path = path.display())]
    #[non_exhaustive]
    Locked {
        /// The file.
        path: PathBuf,
        /// How long the store has waited.
        waited: Duration,
    },
    /// The file is not one of this program.
    #[error("{path}: not a file of this store, and left as it is: configure another path, or move the file away", path = path.display())]
    #[non_exhaustive]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file is of a later version of this program.
    #[error("{path}: of a later version of this program (format {found}, and {known} is the last that is known)", path = path.display())]
    #[non_exhaustive]
    Later {
        /// The file.
        path: PathBuf,
        /// The format of the file.
        found: u32,
        /// The last format that this program supports.
        known: u32,
    },
    /// The file is damaged.
    #[error(
        "{path}: the file is damaged ({problem}), and left as it is: put a copy in its place, or move it away and log in again",
        path = path.display()
    )]
    #[non_exhaustive]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with the file.
        problem: String,
    },
    /// The file at this path is not the one that was opened, or an earlier state of it.
    #[error(
        "{path}: the file was deleted, or replaced by another one or by a copy, while it was in use: nothing is read or written before \
         a restart", path = path.display()
    )]
    #[non_exhaustive]
    Replaced {
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
    /// The runtime has ended, so nothing is read or written any more.
    #[error("{path}: the runtime has ended", path = path.display())]
    #[non_exhaustive]
    Ended {
        /// The file.
        path: PathBuf,
    },
}

impl FileStoreError {
    /// Creates the error of a system call.
    pub(crate) fn system(path: &Path, doing: &'static str, source: io::Error) -> Self {
        use io::ErrorKind as Kind;

        let path = path.to_owned();
        match source.kind() {
            Kind::StorageFull | Kind::QuotaExceeded | Kind::FileTooLarge => Self::Full { path, doing, source },
            Kind::ReadOnlyFilesystem | Kind::PermissionDenied => Self::ReadOnly { path, doing, source },
            _ => Self::File { path, doing, source },
        }
    }

    /// Returns the category that callers of the store get.
    pub(crate) const fn kind(&self) -> StoreErrorKind {
        match self {
            Self::Full { .. } => StoreErrorKind::Full,
            Self::ReadOnly { .. } => StoreErrorKind::ReadOnly,
            Self::Replaced { .. } => StoreErrorKind::Replaced,
            _ => StoreErrorKind::Unavailable,
        }
    }
}

/// An error of the key that seals the rows of a store. It quotes nothing of the key. No key was created or overwritten.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The store, the key file or the lock of the key failed.
    #[error(transparent)]
    Store(#[from] FileStoreError),
    /// The key file is rejected.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// There is no key at the place, and the store has rows that were sealed with one.
    #[error(
        "{place} has no key, and {path} has rows that were sealed with one: put the key back, or move {path} away and log in again",
        path = path.display()
    )]
    #[non_exhaustive]
    Missing {
        /// Where the key was looked for.
        place: String,
        /// The file of the store.
        path: PathBuf,
    },
    /// The entry of the keyring is not a key.
    #[error("{place} is not a key ring ({invalid}), and left as it is: delete the entry, or configure another name")]
    #[non_exhaustive]
    Invalid {
        /// The entry.
        place: String,
        /// Why it is not a key ring.
        invalid: InvalidKeyRing,
    },
    /// The machine has no keyring.
    #[error(
        "{place}: there is no keyring here ({problem}): use a key file (`keys_in_file`), or run the program in a session with a keyring"
    )]
    #[non_exhaustive]
    NoKeyring {
        /// The entry.
        place: String,
        /// The message of the operating system.
        problem: String,
    },
    /// The keyring of the operating system cannot be read or written.
    #[error("{place}: {problem}: unlock the keyring, or use a key file where there is none")]
    #[non_exhaustive]
    Keyring {
        /// The entry.
        place: String,
        /// The message of the keyring.
        problem: String,
    },
}
