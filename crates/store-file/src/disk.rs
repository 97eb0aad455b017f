//! [`Disk`]: a file that is replaced as a whole, its folder, and the lock between processes.

use std::{
    fs::{self, DirBuilder, File, Metadata, OpenOptions, TryLockError},
    io::{self, Write as _},
    path::{self, Path, PathBuf},
    thread,
    time::Duration,
};

use crate::FileStoreError;

/// A file that only its owner may read, and that is replaced as a whole. All functions block.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    path: PathBuf,
    folder: PathBuf,
}

/// The exclusive lock of a file, between processes and within one. It ends with the value, or with the process.
///
/// The file itself is replaced, so it is not what is locked. On Unix its folder is: a lock file could be deleted while it is locked, and
/// then locks nothing. Elsewhere folders have no locks, and a lock file beside the file is locked.
pub(crate) struct Lock {
    file: File,
    path: PathBuf,
}

/// How often a lock is tried again that another process has.
const RETRY_EVERY: Duration = Duration::from_millis(2);

impl Disk {
    /// Finds the file, behind links, and creates its folder, for its owner alone, if it does not exist.
    pub(crate) fn at(path: &Path) -> Result<Self, FileStoreError> {
        let failed = |doing| move |error| FileStoreError::system(path, doing, error);
        let absolute = match fs::canonicalize(path) {
            // A link to a file that is not there is not replaced: the file may be on a disk that is absent for now.
            Err(error) if error.kind() == io::ErrorKind::NotFound && path.is_symlink() => Err(error),
            Err(error) if error.kind() == io::ErrorKind::NotFound => path::absolute(path),
            found => found,
        };
        let absolute = absolute.map_err(failed("finding it"))?;
        let folder = absolute.parent().unwrap_or(&absolute).to_owned();
        create_folder(&folder).map_err(failed("creating its folder"))?;
        check_folder(&folder)?;
        Ok(Self { path: absolute, folder })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of a file beside this one.
    pub(crate) fn beside(&self, suffix: &str) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(suffix);
        path.into()
    }

    /// Waits for the lock of the file, for `limit`.
    pub(crate) fn lock(&self, limit: Duration) -> Result<Lock, FileStoreError> {
        let failed = |doing| move |error| FileStoreError::system(&self.path, doing, error);
        let mut waited = Duration::ZERO;
        loop {
            let lock = self.open_lock().map_err(failed("opening its lock"))?;
            loop {
                match lock.file.try_lock() {
                    Ok(()) => break,
                    Err(TryLockError::WouldBlock) if waited >= limit => {
                        return Err(FileStoreError::Locked { path: self.path.clone(), waited });
                    }
                    // Another process has it for as long as a write takes.
                    Err(TryLockError::WouldBlock) => thread::sleep(RETRY_EVERY),
                    Err(TryLockError::Error(error)) => return Err(failed("locking it")(error)),
                }
                waited += RETRY_EVERY;
            }
            // Of a folder that was moved away meanwhile, it locks nothing.
            if lock.is_in_place().map_err(failed("finding its lock"))? {
                return Ok(lock);
            }
        }
    }

    #[cfg(unix)]
    fn open_lock(&self) -> io::Result<Lock> {
        Ok(Lock { file: File::open(&self.folder)?, path: self.folder.clone() })
    }

    #[cfg(not(unix))]
    fn open_lock(&self) -> io::Result<Lock> {
        let path = self.beside(".lock");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        // Readable and writable for other processes, and not deletable for as long as it is open.
        #[cfg(windows)]
        std::os::windows::fs::OpenOptionsExt::share_mode(&mut options, 0x1 | 0x2);
        Ok(Lock { file: options.open(&path)?, path })
    }

    /// Returns the content of the file, or `None` if there is no file. It needs no lock: a file is never half written.
    pub(crate) fn read(&self) -> Result<Option<Vec<u8>>, FileStoreError> {
        match fs::read(&self.path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => {
                let path = self.path.clone();
                Err(FileStoreError::File { path, doing: "reading it", source })
            }
        }
    }

    /// Checks that the file is one that this process may use, alone, and replace. A disk that is full may have room later.
    pub(crate) fn check(&self, _: &Lock) -> Result<(), FileStoreError> {
        let failed = |doing| move |error| FileStoreError::system(&self.path, doing, error);
        match fs::metadata(&self.path) {
            Ok(metadata) if !metadata.is_file() => return Err(FileStoreError::Foreign { path: self.path.clone() }),
            Ok(metadata) => check_closed(&self.path, &metadata)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("finding it")(error)),
        }
        let temporary = self.beside(".tmp");
        let written = write_new(&temporary, b"").map_err(failed("writing a file beside it"));
        let _ = fs::remove_file(&temporary);
        match written {
            Ok(own) => check_owner(&self.folder, &own).map_err(failed("finding its owner"))?,
            Err(FileStoreError::Full { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Replaces the content of the file: `bytes` are on the disk, or the file is as it was.
    ///
    /// Only if the folder cannot be synchronized is it unknown which of both is the case after a crash of the machine.
    pub(crate) fn replace(&self, bytes: &[u8], lock: &Lock) -> Result<(), FileStoreError> {
        let failed = |doing| move |error| FileStoreError::system(&self.path, doing, error);
        let temporary = self.beside(".tmp");
        let written = write_new(&temporary, bytes).map(drop);
        let replaced = written.and_then(|()| {
            if !lock.is_in_place()? {
                return Err(io::Error::other("its lock was moved away while it was in use"));
            }
            fs::rename(&temporary, &self.path)
        });
        if let Err(error) = replaced {
            // What is left of it is overwritten by the next write.
            let _ = fs::remove_file(&temporary);
            return Err(failed("replacing it")(error));
        }
        synchronize(&self.folder).map_err(failed("synchronizing its folder"))
    }
}

impl Lock {
    #[cfg(unix)]
    fn is_in_place(&self) -> io::Result<bool> {
        use std::os::unix::fs::MetadataExt as _;

        let own = self.file.metadata()?;
        match fs::metadata(&self.path) {
            Ok(found) => Ok((found.dev(), found.ino()) == (own.dev(), own.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    #[cfg(not(unix))]
    fn is_in_place(&self) -> io::Result<bool> {
        self.path.try_exists()
    }
}

/// Creates the file `path`, for its owner alone, with `bytes` that are on the disk. What a process that was killed has left there goes.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    for_owner_alone(&mut options);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(file)
}

#[cfg(unix)]
fn for_owner_alone(options: &mut OpenOptions) {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
}

#[cfg(not(unix))]
const fn for_owner_alone(_: &mut OpenOptions) {}

fn create_folder(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Rejects a folder in which another user could replace the file.
#[cfg(unix)]
fn check_folder(folder: &Path) -> Result<(), FileStoreError> {
    use std::os::unix::fs::PermissionsExt as _;

    let metadata = fs::metadata(folder).map_err(|error| FileStoreError::system(folder, "finding it", error))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o022 == 0 { Ok(()) } else { Err(FileStoreError::OpenFolder { folder: folder.to_owned(), mode }) }
}

/// Rejects the folder of another user than that of the file `own`, which this process has created: its owner could replace the files.
#[cfg(unix)]
fn check_owner(folder: &Path, own: &File) -> io::Result<Result<(), FileStoreError>> {
    use std::os::unix::fs::MetadataExt as _;

    let (owner, user) = (fs::metadata(folder)?.uid(), own.metadata()?.uid());
    let folder = folder.to_owned();
    Ok(if owner == user { Ok(()) } else { Err(FileStoreError::ForeignFolder { folder, owner, user }) })
}

/// Rejects a file that other users can read or write.
#[cfg(unix)]
fn check_closed(path: &Path, metadata: &Metadata) -> Result<(), FileStoreError> {
    use std::os::unix::fs::PermissionsExt as _;

    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(FileStoreError::OpenFile { path: path.to_owned(), mode }) }
}

// Elsewhere, access is as the folder grants it: on Windows, the folders of a user are closed to other users.

#[cfg(not(unix))]
const fn check_folder(_: &Path) -> Result<(), FileStoreError> {
    Ok(())
}

#[cfg(not(unix))]
const fn check_owner(_: &Path, _: &File) -> io::Result<Result<(), FileStoreError>> {
    Ok(Ok(()))
}

#[cfg(not(unix))]
const fn check_closed(_: &Path, _: &Metadata) -> Result<(), FileStoreError> {
    Ok(())
}

/// Makes the entries of a folder durable.
#[cfg(unix)]
fn synchronize(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
const fn synchronize(_: &Path) -> io::Result<()> {
    Ok(())
}
