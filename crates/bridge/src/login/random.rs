//! Random texts, for one use each.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::SecretString;
use zeroize::Zeroizing;

/// How long such a text is.
pub(crate) const RANDOM_TEXT_LEN: usize = 43;

/// 256 random bits that can stand in URLs, cookies and forms.
pub(crate) fn random_text() -> SecretString {
    let mut bytes = Zeroizing::new([0; 32]);
    rand::fill(&mut *bytes);
    SecretString::from(URL_SAFE_NO_PAD.encode(*bytes))
}
