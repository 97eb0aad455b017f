//! [`ScopePolicy`]: who may have which scopes.

use std::{fmt, sync::Arc};

use portcullis_core::{ScopeSet, UserContext};

use crate::{
    oauth_error::{ErrorCode, OAuthError},
    session::SessionUser,
};

/// Who may have which scopes: of those a client asks for, what this user is given.
///
/// It is asked once, at the login, or when an identity assertion is redeemed. It can only take away: what was not asked for is not
/// given. A user who is given nothing of what was asked for is refused: `access_denied`.
///
/// A user is an issuer *and* a subject, and a claim is what that issuer says. Users who log in are the provider's; those of identity
/// assertions are of their [`TrustedIssuer`](crate::TrustedIssuer), where the same subject may be another person. So compare
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
    /// As `decide` says, of a user and what the client asks for.
    pub fn new(decide: impl Fn(&UserContext, &ScopeSet) -> ScopeSet + Send + Sync + 'static) -> Self {
        Self(Arc::new(decide))
    }

    /// What `user` is given of `asked`.
    ///
    /// # Errors
    /// `access_denied` if that is nothing, although something was asked for.
    pub(crate) fn apply(&self, user: &SessionUser, asked: &ScopeSet) -> Result<ScopeSet, OAuthError> {
        let given = (self.0)(&user.context().build(), asked);
        let given = given.intersection(asked);
        if given.is_empty() && !asked.is_empty() {
            return Err(OAuthError::new(ErrorCode::AccessDenied, "this user may not have any of these scopes"));
        }
        Ok(given)
    }
}

impl fmt::Debug for ScopePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopePolicy").finish_non_exhaustive()
    }
}
