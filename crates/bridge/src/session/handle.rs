//! [`TokenFamily`]: what the refresh tokens of a session have in common, and nothing else has.

use std::fmt;

use aws_lc_rs::digest;
use portcullis_core::GrantId;
use serde::{Deserialize, Serialize};

use super::base64_bytes;

/// Sixteen random bytes, one per login, in every refresh token of it.
///
/// The session's id is a hash of it. Codes and access tokens carry the id: whoever sees one, such as a resource server, or finds one in
/// the history of a browser, cannot make up an old refresh token, which would end the session.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct TokenFamily(#[serde(with = "base64_bytes")] [u8; Self::LEN]);

impl TokenFamily {
    pub(crate) const LEN: usize = 16;

    /// A new one.
    pub(crate) fn random() -> Self {
        let mut bytes = [0; Self::LEN];
        rand::fill(&mut bytes);
        Self(bytes)
    }

    pub(crate) const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// The id of the session, and of its grant.
    pub(crate) fn session(&self) -> GrantId {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(b"portcullis session\0");
        hash.update(&self.0);
        let mut id = [0; 16];
        id.copy_from_slice(&hash.finish().as_ref()[..16]);
        GrantId::from_bytes(id)
    }
}

/// By the session's id: a handle is half of a secret.
impl fmt::Debug for TokenFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenFamily(of {})", self.session())
    }
}
