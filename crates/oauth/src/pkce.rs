//! [`CodeVerifier`]: Proof Key for Code Exchange (PKCE).

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256};

/// The code verifier of PKCE. The authorization request contains its [challenge](Self::challenge), the token request the verifier
/// itself. Its `Debug` output is redacted.
///
/// [RFC 7636 section 4.1](https://www.rfc-editor.org/rfc/rfc7636#section-4.1). Only the method `S256` is supported.
///
/// ```
/// use portcullis_oauth::CodeVerifier;
///
/// let verifier = CodeVerifier::new([7; 32]); // Random bytes, from the operating system.
/// assert_eq!(verifier.challenge().len(), 43);
/// ```
#[derive(Clone, Debug)]
pub struct CodeVerifier(SecretString);

impl CodeVerifier {
    /// Creates a verifier from bytes, which must be random and used once.
    #[must_use]
    pub fn new(random: [u8; 32]) -> Self {
        Self(BASE64_URL_SAFE_NO_PAD.encode(random).into())
    }

    /// Returns the challenge by the method `S256`, which is not a secret.
    /// [RFC 7636 section 4.2](https://www.rfc-editor.org/rfc/rfc7636#section-4.2)
    #[must_use]
    pub fn challenge(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(self.0.expose_secret()))
    }

    pub(crate) fn secret(&self) -> &SecretString {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc() {
        // RFC 7636 appendix B.
        let random = [
            116, 24, 223, 180, 151, 153, 224, 37, 79, 250, 96, 125, 216, 173, 187, 186, 22, 212, 37, 77, 105, 214, 191,
            240, 91, 88, 5, 88, 83, 132, 141, 121,
        ];
        let verifier = CodeVerifier::new(random);
        assert_eq!(verifier.secret().expose_secret(), "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        assert_eq!(verifier.challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
        assert!(!format!("{verifier:?}").contains("dBjft"));
    }
}
