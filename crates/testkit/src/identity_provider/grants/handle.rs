//! What a test does with grants: begin in the middle, end them, and count.

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
    /// Goes by `policy` from now on. Tokens that are out keep the lifetimes they have.
    pub fn set_token_policy(&self, policy: TokenPolicy) {
        self.state().policy = policy;
    }

    /// A code as the login of `subject` would have brought it to `redirect_uri`: for [`CLIENT_ID`](Self::CLIENT_ID), good for a
    /// minute and for once. With `code_challenge` (`S256`) it takes the verifier to redeem it
    /// ([RFC 7636](https://www.rfc-editor.org/rfc/rfc7636)).
    #[must_use]
    pub fn issue_code(&self, subject: &str, scope: &str, redirect_uri: &str, code_challenge: Option<&str>) -> String {
        let client_id = Self::CLIENT_ID;
        let consent = Consent { client_id, subject, scope, redirect_uri, code_challenge, nonce: None };
        self.state().issue_code(&consent, true)
    }

    /// A grant of `subject` to [`CLIENT_ID`](Self::CLIENT_ID) as if a code had been redeemed: to begin in the middle.
    #[must_use]
    pub fn issue_grant(&self, subject: &str, scope: &str) -> IssuedGrant {
        let tokens = self.state().issue_grant(Self::CLIENT_ID, subject, scope);
        IssuedGrant { access_token: tokens.access_token, refresh_token: tokens.refresh_token.unwrap_or_default() }
    }

    /// Ends every grant of `subject`, as if the user had withdrawn it: all tokens that came from it are dead.
    pub fn revoke_grant(&self, subject: &str) {
        self.state().end_all_of(subject);
    }

    /// Whether a refresh with `refresh_token` would bring new tokens now, by the current policy. Does not count as one.
    #[must_use]
    pub fn is_refreshable(&self, refresh_token: &str) -> bool {
        self.state().is_refreshable(refresh_token)
    }

    /// How many times `refresh_token` was presented, for good or ill. A call that a fault kept from being processed, or that
    /// came without the client's credentials, does not count.
    #[must_use]
    pub fn times_presented(&self, refresh_token: &str) -> usize {
        self.state().ledger.presented.get(refresh_token).copied().unwrap_or_default()
    }

    /// [`times_presented`](Self::times_presented) of the refresh token that was presented most often: 1 if none was
    /// presented twice.
    #[must_use]
    pub fn most_times_presented(&self) -> usize {
        self.state().ledger.presented.values().copied().max().unwrap_or_default()
    }

    /// How many times a refresh token was replaced by a new one.
    #[must_use]
    pub fn rotations(&self) -> usize {
        self.state().ledger.rotations
    }

    /// How many grants ended because a refresh token, or a code, was used twice.
    #[must_use]
    pub fn families_killed(&self) -> usize {
        self.state().ledger.families_killed
    }

    /// How many times UserInfo (or GitHub's user) was asked with a token that is not good.
    #[must_use]
    pub fn dead_calls(&self) -> usize {
        self.state().ledger.dead_calls
    }
}
