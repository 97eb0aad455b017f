//! [`Verified`]: evidence that a check took place.

use portcullis_core::{AuthError, Issuer, PrincipalKind, UserContext, UserContextBuilder};

use crate::{Claims, InvalidClaim};

/// A `T` for which an issuer vouches, to this resource, now: evidence that the checks took place.
///
/// Only the policies of this crate make one, so a function that takes a `Verified<Claims>` cannot be given anything else.
#[derive(Clone, Debug)]
pub struct Verified<T> {
    issuer: Issuer,
    value: T,
}

impl<T> Verified<T> {
    /// Asserts that `issuer` vouches for `value`: the last line of a policy.
    pub(crate) const fn assertion(issuer: Issuer, value: T) -> Self {
        Self { issuer, value }
    }

    /// Who vouches for it.
    #[must_use]
    pub const fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// What was verified, without the evidence.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl<T> AsRef<T> for Verified<T> {
    fn as_ref(&self) -> &T {
        &self.value
    }
}

impl Verified<Claims> {
    /// The user that the claims describe.
    ///
    /// A [client acting for itself](PrincipalKind::Client) is one whose `sub` is its `client_id`, or who has no `sub`
    /// ([RFC 9068 section 2.2](https://www.rfc-editor.org/rfc/rfc9068#section-2.2),
    /// [RFC 7662 section 2.2](https://www.rfc-editor.org/rfc/rfc7662#section-2.2)).
    ///
    /// # Errors
    /// [`Reason::MissingClaim`](portcullis_core::Reason::MissingClaim) if there is neither, or if a claim has the wrong
    /// type.
    pub fn into_user_context(self) -> Result<UserContextBuilder, AuthError> {
        let claims = self.value;
        let client_id = claims.client_id()?;
        let subject = claims.subject()?.or(client_id).ok_or(InvalidClaim("sub"))?;
        let kind = if Some(subject) == client_id { PrincipalKind::Client } else { PrincipalKind::User };
        let mut user = UserContext::assertion(self.issuer, subject).with_kind(kind).with_scopes(claims.scopes()?);
        if let Some(client_id) = client_id {
            user = user.with_client_id(client_id);
        }
        if let Some(expires_at) = claims.expires_at()? {
            user = user.with_expires_at(expires_at);
        }
        Ok(user.with_claims(claims.into_inner()))
    }
}
