//! [`IdToken`]: evidence of who logged in.

use portcullis_core::Issuer;

use crate::Claims;

/// Evidence of who logged in: only an [`IdTokenPolicy`](super::IdTokenPolicy) makes one. `Debug` prints no values of claims.
///
/// It says who was at the provider for *this* login. It is no right to anything, and no token for anybody.
#[derive(Clone, Debug)]
pub struct IdToken {
    issuer: Issuer,
    subject: Box<str>,
    claims: Claims,
}

impl IdToken {
    /// The last line of the policy.
    pub(super) const fn new(issuer: Issuer, subject: Box<str>, claims: Claims) -> Self {
        Self { issuer, subject, claims }
    }

    /// The provider, by the name under which it is configured.
    #[must_use]
    pub const fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// The user's name at the provider: unique there, and never given to somebody else.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// What else it says. That an e-mail address is the user's only `email_verified` says.
    #[must_use]
    pub const fn claims(&self) -> &Claims {
        &self.claims
    }

    /// What it says, without the evidence.
    #[must_use]
    pub fn into_claims(self) -> Claims {
        self.claims
    }
}
