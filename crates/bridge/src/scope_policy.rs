//! [`ScopePolicy`]: limits the scopes of users.

use std::{fmt, sync::Arc};

use portcullis_core::{ScopeSet, UserContext};

use crate::{
    oauth_error::{ErrorCode, OAuthError},
    session::SessionUser,
};

/// Limits the scopes of users: which of the requested scopes a user is granted.
///
/// It is applied once, at the login, or when an identity assertion is redeemed. It can only remove scopes. A user without any of the
/// requested scopes is rejected with `access_denied`.
///
/// A user is identified by issuer *and* subject, and claims are those of that issuer. Users who log in have the provider's issuer. Users
/// of identity assertions have their [`TrustedIssuer`](crate::TrustedIssuer), where the same subject may be another person. So compare
/// [`UserContext::issuer`] first.
///
/// ```
/// use portcullis_bridge::ScopePolicy;
/// use portcullis_core::{Issuer, ScopeSet};
///
/// let provider = Issuer::new("https://idp.example.com")?;
/// let policy = ScopePolicy::new(move |user, asked| {
///     let groups = user.claims().get("groups").and_then(|groups| groups.as_array());
///     let is_admin = *user.issuer() == provider && groups.is_some_and(|groups| groups.contains(&"admins".into()));
///     let allowed = asked.iter().filter(|scope| *scope != "mcp:admin" || is_admin);
///     ScopeSet::new(allowed).unwrap_or_default()
/// });
/// # drop(policy);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct ScopePolicy(Arc<Decide>);

type Decide = dyn Fn(&UserContext, &ScopeSet) -> ScopeSet + Send + Sync;

impl ScopePolicy {
    /// Creates a policy from a function of the user and the requested scopes.
    pub fn new(decide: impl Fn(&UserContext, &ScopeSet) -> ScopeSet + Send + Sync + 'static) -> Self {
        Self(Arc::new(decide))
    }

    /// Returns the scopes of `asked` that `user` is granted.
    ///
    /// # Errors
    /// `access_denied` if none is left.
    pub(crate) fn apply(&self, user: &SessionUser, asked: &ScopeSet) -> Result<ScopeSet, OAuthError> {
        let granted = (self.0)(&user.context().build(), asked);
        let granted = granted.intersection(asked);
        if granted.is_empty() && !asked.is_empty() {
            return Err(OAuthError::new(ErrorCode::AccessDenied, "no requested scope is allowed for this user"));
        }
        Ok(granted)
    }
}

impl fmt::Debug for ScopePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopePolicy").finish_non_exhaustive()
    }
}
