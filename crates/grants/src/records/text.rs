//! Sealed texts that stand in no row: what is given to a browser and comes back.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use super::SealedStore;
use crate::sealing::Place;

impl SealedStore {
    /// Seals `plain` for `purpose`, as base64url: for what others keep and bring back, such as the hidden field of a form. They can
    /// neither read nor change it. Nothing keeps them from bringing it back twice, or late.
    #[must_use]
    pub fn seal_text(&self, purpose: &'static str, plain: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode(self.keys.seal(Place::Text(purpose), plain))
    }

    /// What was sealed for `purpose`; `None` if `text` was not, or with a key that is not on the ring.
    #[must_use]
    pub fn open_text(&self, purpose: &'static str, text: &str) -> Option<Zeroizing<Vec<u8>>> {
        let sealed = URL_SAFE_NO_PAD.decode(text).ok()?;
        self.keys.open(Place::Text(purpose), &sealed).ok()
    }
}
