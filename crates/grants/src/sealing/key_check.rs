//! [`OpenError`]: a key ring is tried before anything rests on it.

use super::{KeyRing, SealError, key_ring::key_name};
use crate::{EphemeralKeyError, StoreError};

/// Why a store is not opened with a key ring.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The store is durable and the key is not.
    #[error(transparent)]
    EphemeralKey(#[from] EphemeralKeyError),
    /// No key of the ring opens what is stored.
    #[error(transparent)]
    WrongKeys(#[from] WrongKeys),
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// No key of the ring opens what is stored. It names keys by their ids, which say nothing of the keys.
///
/// Either the keys are put back that it was sealed with, or everything begins anew with an empty store: then clients register and users log
/// in again.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "no key of the key ring opens what is stored: it is sealed with the key {sealed_with}, and on the ring are {on_the_ring}"
)]
#[non_exhaustive]
pub struct WrongKeys {
    sealed_with: String,
    on_the_ring: String,
}

/// Looks at rows until one opens.
pub(crate) struct KeyCheck<'a> {
    keys: &'a KeyRing,
    foreign: Option<String>,
}

impl<'a> KeyCheck<'a> {
    pub(crate) const fn new(keys: &'a KeyRing) -> Self {
        Self { keys, foreign: None }
    }

    /// Whether a row shows that the keys are right. One that was damaged shows nothing.
    pub(crate) fn is_passed_by<T>(&mut self, sealed: &[u8], opened: &Result<T, SealError>) -> bool {
        if matches!(opened, Err(SealError::UnknownKey)) && self.foreign.is_none() {
            self.foreign = key_name(sealed);
        }
        opened.is_ok()
    }

    /// No row has opened: that is right if there is none that is sealed with another key.
    pub(crate) fn finish(self) -> Result<(), WrongKeys> {
        match self.foreign {
            None => Ok(()),
            Some(sealed_with) => Err(WrongKeys { sealed_with, on_the_ring: format!("{:?}", self.keys) }),
        }
    }
}
