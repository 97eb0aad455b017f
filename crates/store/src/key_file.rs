//! Secrets and keys in files of their own, which must not be accessible to other users.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::{InvalidKeyRing, KeyRing};

/// A secret file that is rejected. The error names the path and the problem, and quotes nothing.
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

/// The mode bits that are rejected: everything for others, and writing for the group. Reading for the group is accepted: Kubernetes
/// gives a secret to a program that is not root in that way (`defaultMode: 0400` and `fsGroup`).
#[cfg(unix)]
const CLOSED: u32 = 0o027;

/// Reads the file `path`, which contains a secret. It blocks: use it at start-up.
///
/// On Unix the file must not be accessible to other users: a secret that every program on the machine can read is none. Mode 0600, 0400,
/// 0640 and 0440 are accepted, of the target if `path` is a link.
///
/// # Errors
/// [`SecretFileError`] if the file cannot be read, or is accessible to other users.
pub fn read_secret_file(path: impl AsRef<Path>) -> Result<SecretString, SecretFileError> {
    read(path.as_ref()).map(|text| SecretString::from(text.as_str()))
}

fn read(path: &Path) -> Result<Zeroizing<String>, SecretFileError> {
    read_closed(path).map_err(|problem| SecretFileError { path: path.to_owned(), problem })
}

fn read_closed(path: &Path) -> Result<Zeroizing<String>, Problem> {
    let mut file = File::open(path)?;
    // The mode of the file that was opened, not of another file that may be at the path by now.
    refuse_open_to_others(&file, path)?;
    // Sufficient capacity from the start: the buffers that a growing text leaves behind are not wiped.
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

/// A key file that is rejected. The error names the path and the problem, and quotes nothing.
#[derive(Debug, thiserror::Error)]
#[error("the key file {0}")]
pub struct KeyFileError(KeyFileProblem);

#[derive(Debug, thiserror::Error)]
enum KeyFileProblem {
    #[error(transparent)]
    File(#[from] SecretFileError),
    #[error("{} is no key ring: {invalid}", path.display())]
    Invalid { path: PathBuf, invalid: InvalidKeyRing },
}

impl KeyRing {
    /// Reads the ring in the file `path`, in the format of [`parse`](Self::parse). It blocks: use it at start-up.
    ///
    /// On Unix the file must not be accessible to other users, as for [`read_secret_file`].
    ///
    /// # Errors
    /// [`KeyFileError`] if the file cannot be read, is accessible to other users, or is not a key ring.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, KeyFileError> {
        let path = path.as_ref();
        let text = read(path).map_err(|error| KeyFileError(error.into()))?;
        Self::parse(&text).map_err(|invalid| KeyFileError(KeyFileProblem::Invalid { path: path.to_owned(), invalid }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "fbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfb";

    #[cfg(unix)]
    #[test]
    fn a_key_file_is_read_only_if_it_is_not_accessible_to_other_users() {
        use std::{fs, os::unix::fs::PermissionsExt as _};

        let folder = std::env::temp_dir().join(format!("portcullis-key-file-{}", rand::random::<u64>()));
        fs::create_dir(&folder).expect("a folder");
        let path = folder.join("keys");
        fs::write(&path, HEX).expect("written");
        for (mode, is_read) in [
            (0o600, true),
            (0o400, true),
            (0o440, true),
            (0o604, false),
            (0o660, false),
            (0o644, false),
            (0o602, false),
        ] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
            let read = KeyRing::from_file(&path);
            assert_eq!(read.is_ok(), is_read, "{mode:o}");
            if let Err(error) = read {
                let text = error.to_string();
                assert!(text.contains("keys is open to others (mode 6") && !text.contains(HEX), "{text}");
            }
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("set");
        fs::write(&path, "hunter2").expect("written");
        let text = KeyRing::from_file(&path).unwrap_err().to_string();
        assert!(text.contains("line 1") && !text.contains("hunter2"), "{text}");
        fs::remove_dir_all(&folder).expect("removed");
        assert!(KeyRing::from_file(&path).is_err());
    }
}
