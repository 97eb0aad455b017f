//! [`SessionsKey`]: where the sessions of one user through one client are listed.

use portcullis_grants::records::{Collection, RecordKey};
use serde::{Deserialize, Serialize};

use super::{SessionUser, base64_bytes};

/// Where the sessions of one user through one client are listed. It names neither.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct SessionsKey(#[serde(with = "base64_bytes")] [u8; 32]);

impl SessionsKey {
    /// Of `user`, through the client `client_id`.
    pub(crate) fn of(user: &SessionUser, client_id: &str) -> Self {
        let parts = [user.issuer.as_str().as_bytes(), user.subject.as_bytes(), client_id.as_bytes()];
        Self(*RecordKey::of(Collection::USERS, &parts).as_bytes())
    }

    pub(super) const fn record(self) -> RecordKey {
        RecordKey::new(Collection::USERS, self.0)
    }
}
