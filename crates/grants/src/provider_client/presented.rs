//! Which credential a request presents: its hash, by which it is paused if it fails.

use portcullis_core::Fingerprint;
use secrecy::{ExposeSecret as _, SecretString};

/// The hash of a code or refresh token.
pub(super) fn fingerprint(presented: &SecretString) -> Fingerprint {
    Fingerprint::of_credential(presented.expose_secret())
}
