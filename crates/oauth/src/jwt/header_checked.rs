//! [`HeaderCheckedJwt`] and [`SignedJwt`]: a JWT whose header is acceptable, and one whose signature fits.

use jsonwebtoken::crypto::aws_lc;
use portcullis_core::{AuthError, Reason, UnixTime};

use super::{Algorithm, UnverifiedJwt, VerificationKey, header_policy::JwtPurpose};
use crate::{Claims, InvalidClaim};

/// A JWT whose header is acceptable to a policy. Its signature is not verified.
#[derive(Debug)]
pub struct HeaderCheckedJwt {
    jwt: UnverifiedJwt,
    algorithm: Algorithm,
    purpose: JwtPurpose,
}

/// A JWT that was signed by the key it was verified with. Its claims are not checked.
#[derive(Debug)]
pub struct SignedJwt {
    claims: Claims,
    algorithm: Algorithm,
    purpose: JwtPurpose,
}

impl HeaderCheckedJwt {
    pub(super) const fn new(jwt: UnverifiedJwt, algorithm: Algorithm, purpose: JwtPurpose) -> Self {
        Self { jwt, algorithm, purpose }
    }

    /// By which algorithm it says to be signed: one that the policy allows.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key it says to be signed by (`kid`): good for looking one up among the issuer's, and for nothing else.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.jwt.header.get("kid").and_then(serde_json::Value::as_str)
    }

    /// When it claims to have been issued (`iat`): not verified, like everything in it.
    ///
    /// # Errors
    /// [`InvalidClaim`] if `iat` is no `NumericDate`.
    pub fn claimed_issued_at(&self) -> Result<Option<UnixTime>, InvalidClaim> {
        self.jwt.claimed_issued_at()
    }

    /// Verifies the signature.
    ///
    /// # Errors
    /// [`Reason::BadSignature`] if `key` did not sign it, or is not a key for its algorithm.
    pub fn verify(self, key: &VerificationKey) -> Result<SignedJwt, AuthError> {
        let bad_signature = || AuthError::new(Reason::BadSignature);
        if !key.fits(self.algorithm) {
            return Err(bad_signature());
        }
        // Not the provider of the process: another crate of the build may have installed a different one, or made the
        // choice ambiguous, which panics.
        let verifier = (aws_lc::DEFAULT_PROVIDER.verifier_factory)(&self.algorithm.jwa(), key.decoding_key())
            .map_err(|_| bad_signature())?;
        let UnverifiedJwt { token, claims, signature, signed_len, .. } = self.jwt;
        let signed = &token.expose_secret().as_bytes()[..signed_len];
        verifier.verify(signed, &signature).map_err(|_| bad_signature())?;
        Ok(SignedJwt { claims, algorithm: self.algorithm, purpose: self.purpose })
    }
}

impl SignedJwt {
    /// By which algorithm it is signed.
    pub(crate) const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// What it says, if it was screened for this use.
    pub(crate) fn into_claims(self, purpose: JwtPurpose) -> Result<Claims, AuthError> {
        if self.purpose == purpose { Ok(self.claims) } else { Err(AuthError::new(Reason::WrongType)) }
    }
}
