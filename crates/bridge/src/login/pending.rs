//! [`Login`]: a user who is at the provider.

use portcullis_oauth::CodeVerifier;
use serde::{Deserialize, Serialize};

use super::{
    AuthorizationRequest,
    consent::{ClientFingerprint, UserIdentity},
};
use crate::session::SecretHash;

/// A user who was sent to the provider, after consent, and is to come back once.
#[derive(Serialize, Deserialize)]
pub(crate) struct Login {
    pub(crate) request: AuthorizationRequest,
    /// Whether the client gets refresh tokens.
    pub(crate) is_refreshable: bool,
    /// What the user was shown of the client, and in which browser.
    pub(crate) client: ClientFingerprint,
    pub(crate) browser: SecretHash,
    /// Who consented, if that was an earlier time.
    pub(crate) consented: Option<UserIdentity>,
    /// By which the browser is known again that was sent away.
    pub(crate) cookie: SecretHash,
    /// Of our own PKCE, which has nothing to do with the client's.
    pub(crate) verifier: [u8; 32],
    /// What the ID token must repeat.
    pub(crate) nonce: Box<str>,
}

impl Login {
    /// What the provider wants to see with the code.
    pub(crate) fn verifier(&self) -> CodeVerifier {
        CodeVerifier::new(self.verifier)
    }
}
