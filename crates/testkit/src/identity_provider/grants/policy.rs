//! [`TokenPolicy`]: which tokens the token endpoint issues, and when they end.

use std::time::Duration;

/// The policy that decides which tokens the token endpoint issues, and when they end.
///
/// The default is what [RFC 9700 section 4.14.2](https://www.rfc-editor.org/rfc/rfc9700#section-4.14.2) requires: every refresh
/// issues a new refresh token, and presenting an old one ends the grant. Access tokens are opaque and valid for ten minutes.
///
/// ```
/// use std::time::Duration;
///
/// use portcullis_testkit::{IdentityProvider, TokenPolicy};
///
/// let provider = IdentityProvider::new();
/// let forgiving = TokenPolicy::new().with_reuse_leeway(Duration::from_secs(600));
/// provider.set_token_policy(forgiving.with_access_token_lifetime(Duration::from_secs(20)).without_expires_in());
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct TokenPolicy {
    pub(crate) issues_refresh_tokens: bool,
    pub(crate) rotates: bool,
    pub(crate) omits_refresh_token: bool,
    pub(crate) reuse_ends_grant: bool,
    pub(crate) reuse_leeway: Duration,
    pub(crate) only_newest_access_token: bool,
    pub(crate) access_token_lifetime: Option<Duration>,
    pub(crate) tells_expires_in: bool,
    pub(crate) refresh_token_lifetime: Option<Duration>,
    pub(crate) refreshed_scope: Option<String>,
    pub(crate) jwt_access_tokens: bool,
    pub(crate) issues_id_tokens: bool,
}

impl TokenPolicy {
    /// Creates the policy with rotation, and with grants that end when a refresh token is used twice.
    pub const fn new() -> Self {
        Self {
            issues_refresh_tokens: true,
            rotates: true,
            omits_refresh_token: false,
            reuse_ends_grant: true,
            reuse_leeway: Duration::ZERO,
            only_newest_access_token: false,
            access_token_lifetime: Some(Duration::from_secs(600)),
            tells_expires_in: true,
            refresh_token_lifetime: None,
            refreshed_scope: None,
            jwt_access_tokens: false,
            issues_id_tokens: true,
        }
    }

    /// Issues access tokens only.
    pub const fn without_refresh_tokens(mut self) -> Self {
        self.issues_refresh_tokens = false;
        self
    }

    /// Keeps the refresh token valid for any number of refreshes; every response contains it again.
    pub const fn without_rotation(mut self) -> Self {
        self.rotates = false;
        self
    }

    /// Omits the refresh token from the response to a refresh, and implies [`without_rotation`](Self::without_rotation).
    pub const fn with_refresh_token_omitted(mut self) -> Self {
        self.omits_refresh_token = true;
        self.without_rotation()
    }

    /// Rejects a refresh token that is used twice, without ending its grant.
    pub const fn without_reuse_detection(mut self) -> Self {
        self.reuse_ends_grant = false;
        self
    }

    /// Accepts a refresh token again for `leeway` after its first use, by the provider's clock; each use issues new tokens.
    pub const fn with_reuse_leeway(mut self, leeway: Duration) -> Self {
        self.reuse_leeway = leeway;
        self
    }

    /// Ends the previous access tokens of a grant at each refresh.
    pub const fn with_only_newest_access_token(mut self) -> Self {
        self.only_newest_access_token = true;
        self
    }

    /// Sets the lifetime of access tokens.
    pub const fn with_access_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.access_token_lifetime = Some(lifetime);
        self
    }

    /// Issues access tokens that do not expire, and responses without `expires_in`.
    pub const fn without_access_token_expiry(mut self) -> Self {
        self.access_token_lifetime = None;
        self
    }

    /// Omits `expires_in` from responses, although access tokens expire.
    pub const fn without_expires_in(mut self) -> Self {
        self.tells_expires_in = false;
        self
    }

    /// Sets the lifetime of refresh tokens, which responses contain as `refresh_expires_in`.
    pub const fn with_refresh_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.refresh_token_lifetime = Some(lifetime);
        self
    }

    /// Limits a refresh to `scope`, a list separated by spaces.
    pub fn with_refreshed_scope(mut self, scope: &str) -> Self {
        self.refreshed_scope = Some(scope.to_owned());
        self
    }

    /// Issues no ID tokens. By default a code for the scope `openid` brings one, if the vendor issues ID tokens.
    pub const fn without_id_tokens(mut self) -> Self {
        self.issues_id_tokens = false;
        self
    }

    /// Issues access tokens as JWTs, signed by the provider.
    pub const fn with_jwt_access_tokens(mut self) -> Self {
        self.jwt_access_tokens = true;
        self
    }
}

impl Default for TokenPolicy {
    fn default() -> Self {
        Self::new()
    }
}
