//! The methods of a test for grants: issue, end, and count them.

use std::fmt;

use super::{super::IdentityProvider, Consent, TokenPolicy};

/// The first tokens of a grant; made by [`IdentityProvider::issue_grant`]. `Debug` prints neither.
#[derive(Clone)]
#[non_exhaustive]
pub struct IssuedGrant {
    /// The access token.
    pub access_token: String,
    /// The refresh token; empty if the policy, or the vendor for this scope, gives none.
    pub refresh_token: String,
}

impl fmt::Debug for IssuedGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedGrant").finish_non_exhaustive()
    }
}

impl IdentityProvider {
    /// Sets the policy. Issued tokens keep their lifetimes.
    pub fn set_token_policy(&self, policy: TokenPolicy) {
        self.state().policy = policy;
    }

    /// Issues a code as if `subject` had logged in, for `redirect_uri` and [`CLIENT_ID`](Self::CLIENT_ID). The code is valid for a
    /// minute and once. With `code_challenge` (`S256`) redeeming it needs the verifier
    /// ([RFC 7636](https://www.rfc-editor.org/rfc/rfc7636)).
    #[must_use]
    pub fn issue_code(&self, subject: &str, scope: &str, redirect_uri: &str, code_challenge: Option<&str>) -> String {
        let client_id = Self::CLIENT_ID;
        let consent = Consent { client_id, subject, scope, redirect_uri, code_challenge, nonce: None };
        self.state().issue_code(&consent, true)
    }

    /// Issues a grant of `subject` to [`CLIENT_ID`](Self::CLIENT_ID) as if a code had been redeemed.
    #[must_use]
    pub fn issue_grant(&self, subject: &str, scope: &str) -> IssuedGrant {
        let tokens = self.state().issue_grant(Self::CLIENT_ID, subject, scope);
        IssuedGrant { access_token: tokens.access_token, refresh_token: tokens.refresh_token.unwrap_or_default() }
    }

    /// Ends every grant of `subject`, as if the user had withdrawn it, with all its tokens.
    pub fn revoke_grant(&self, subject: &str) {
        self.state().end_all_of(subject);
    }

    /// Reports whether a refresh with `refresh_token` would succeed now, by the current policy. Does not count as a refresh.
    #[must_use]
    pub fn is_refreshable(&self, refresh_token: &str) -> bool {
        self.state().is_refreshable(refresh_token)
    }

    /// Returns the number of times `refresh_token` was presented, with any outcome. A call that was not processed because of a
    /// fault, or that lacked the client's credentials, does not count.
    #[must_use]
    pub fn times_presented(&self, refresh_token: &str) -> usize {
        self.state().ledger.presented.get(refresh_token).copied().unwrap_or_default()
    }

    /// Returns [`times_presented`](Self::times_presented) of the refresh token that was presented most often: 1 if none was
    /// presented twice.
    #[must_use]
    pub fn most_times_presented(&self) -> usize {
        self.state().ledger.presented.values().copied().max().unwrap_or_default()
    }

    /// Returns the number of refresh tokens that were replaced by a new one.
    #[must_use]
    pub fn rotations(&self) -> usize {
        self.state().ledger.rotations
    }

    /// Returns the number of grants that ended because a refresh token, or a code, was used twice.
    #[must_use]
    pub fn families_killed(&self) -> usize {
        self.state().ledger.families_killed
    }

    /// Returns the number of calls of UserInfo (or GitHub's user) with a token that is not valid.
    #[must_use]
    pub fn dead_calls(&self) -> usize {
        self.state().ledger.dead_calls
    }
}
