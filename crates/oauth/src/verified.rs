//! [`Verified`]: evidence that a policy has checked a value.

use portcullis_core::{AuthError, Issuer, ScopeSet, UserContext, UserContextBuilder};

use crate::{Claims, subject::Subject};

/// Evidence that an issuer asserts `T` to this resource at present.
///
/// Only the policies of this crate create it, so a function with a `Verified<Claims>` argument cannot receive unchecked claims.
#[derive(Clone, Debug)]
pub struct Verified<T> {
    issuer: Issuer,
    subject: Subject,
    /// Scopes beside those of the claims `scope` and `scp`.
    scopes: ScopeSet,
    value: T,
}

impl<T> Verified<T> {
    /// Asserts that `issuer` states `value` about `subject`. It is the last statement of a policy.
    pub(crate) fn assertion(issuer: Issuer, subject: Subject, value: T) -> Self {
        Self { issuer, subject, scopes: ScopeSet::default(), value }
    }

    /// Adds scopes that the policy found in other claims than `scope` and `scp`.
    pub(crate) fn with_scopes(mut self, scopes: ScopeSet) -> Self {
        self.scopes = scopes;
        self
    }

    /// Returns the issuer.
    #[must_use]
    pub const fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// Returns the value without the evidence.
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
    /// Returns a builder for the user that the claims describe: the subject that the policy found, a user or a
    /// [client](portcullis_core::PrincipalKind::Client).
    ///
    /// # Errors
    /// [`Reason::MissingClaim`](portcullis_core::Reason::MissingClaim) if a claim has the wrong type.
    pub fn into_user_context(self) -> Result<UserContextBuilder, AuthError> {
        let Self { issuer, subject, scopes, value: claims } = self;
        let user = UserContext::builder(issuer, &subject.name).with_kind(subject.kind);
        let mut user = user.with_scopes(claims.scopes()?.union(&scopes));
        if let Some(client_id) = claims.client_id()? {
            user = user.with_client_id(client_id);
        }
        if let Some(expires_at) = claims.expires_at()? {
            user = user.with_expires_at(expires_at);
        }
        Ok(user.with_claims(claims.into_inner()))
    }
}
