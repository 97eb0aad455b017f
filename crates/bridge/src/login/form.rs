//! [`ConsentForm`]: what the consent page asks about, in the hands of the browser.

use portcullis_core::UnixTime;
use portcullis_grants::records::SealedStore;
use serde::{Deserialize, Serialize};

use super::{AuthorizationRequest, consent::ClientFingerprint};
use crate::session::SecretHash;

/// What the consent page asks about, in the hands of the browser: sealed, so that it comes back as it was, from the browser that it was
/// given to.
///
/// Nothing is stored for a page that may never be answered. It may be answered twice: each answer begins a login of its own.
#[derive(Serialize, Deserialize)]
pub(crate) struct ConsentForm {
    pub(crate) request: AuthorizationRequest,
    /// What the user was shown of the client.
    pub(crate) client: ClientFingerprint,
    /// By which the browser is known.
    pub(crate) browser: SecretHash,
    /// When the page was made, in seconds.
    pub(crate) shown_at: u64,
}

/// Nothing else that is sealed with the same keys opens under it.
const PURPOSE: &str = "consent form";

impl ConsentForm {
    pub(crate) fn seal(&self, records: &SealedStore) -> String {
        records.seal_text(PURPOSE, &serde_json::to_vec(self).expect("a form is plain data"))
    }

    /// What was sealed; `None` if `text` was not made here.
    pub(crate) fn open(text: &str, records: &SealedStore) -> Option<Self> {
        let plain = records.open_text(PURPOSE, text)?;
        serde_json::from_slice(&plain).ok()
    }

    pub(crate) fn shown_at(&self) -> UnixTime {
        UnixTime::from_secs(self.shown_at)
    }
}
