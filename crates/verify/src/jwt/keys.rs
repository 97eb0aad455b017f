//! [`KeySource`]: where a [`JwtVerifier`](super::JwtVerifier) has its keys from.

use portcullis_core::{AuthError, Reason};
use portcullis_oauth::jwt::{HeaderCheckedJwt, KeySet};

use portcullis_remote::{RemoteKeySet, Verification};

/// Where a [`JwtVerifier`](super::JwtVerifier) has its keys from.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum KeySource {
    /// From the configuration: they never change.
    Fixed(KeySet),
    /// From the issuer.
    Remote(RemoteKeySet),
}

impl KeySource {
    pub(super) fn verify(&self, jwt: HeaderCheckedJwt) -> Verification {
        match self {
            Self::Remote(keys) => keys.verify(jwt),
            Self::Fixed(keys) => Verification::Done(match keys.select(&jwt) {
                Some(key) => jwt.verify(key),
                None => Err(AuthError::new(Reason::UnknownKey)),
            }),
        }
    }
}

impl From<KeySet> for KeySource {
    fn from(keys: KeySet) -> Self {
        Self::Fixed(keys)
    }
}

impl From<RemoteKeySet> for KeySource {
    fn from(keys: RemoteKeySet) -> Self {
        Self::Remote(keys)
    }
}
