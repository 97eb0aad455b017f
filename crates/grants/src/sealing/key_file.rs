//! [`KeyRing::from_file`]: keys in a file of their own.

use std::path::{Path, PathBuf};

use super::{InvalidKeyRing, KeyRing};
use crate::secret_file::{self, SecretFileError};

/// A key file that is not used. It says where and what, and no content.
#[derive(Debug, thiserror::Error)]
#[error("the key file {0}")]
pub struct KeyFileError(Problem);

#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error(transparent)]
    File(#[from] SecretFileError),
    #[error("{} is no key ring: {invalid}", path.display())]
    Invalid { path: PathBuf, invalid: InvalidKeyRing },
}

impl KeyRing {
    /// The ring in the file `path`, written as [`parse`](Self::parse) reads it. It blocks, for use at the start.
    ///
    /// On Unix the file must be closed to others, as for [`read_secret_file`](crate::read_secret_file): a key that every
    /// program on the machine can read protects nothing from them.
    ///
    /// # Errors
    /// [`KeyFileError`] if it cannot be read, is open to others, or is no key ring.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, KeyFileError> {
        let path = path.as_ref();
        let text = secret_file::read(path).map_err(|error| KeyFileError(error.into()))?;
        Self::parse(&text).map_err(|invalid| KeyFileError(Problem::Invalid { path: path.to_owned(), invalid }))
    }
}
