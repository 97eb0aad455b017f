//! [`TokenPolicy`]: which tokens the token endpoint hands out, and what becomes of the old ones.

use std::time::Duration;

/// Which tokens the token endpoint hands out, and what becomes of the old ones.
///
/// A new one is what [RFC 9700 section 4.14.2](https://www.rfc-editor.org/rfc/rfc9700#section-4.14.2) asks for: every refresh
/// brings a new refresh token, and whoever presents an old one ends the grant. Access tokens are opaque and good for ten
/// minutes.
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
    /// Rotation, and a grant that ends when a refresh token is used twice.
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

    /// Access tokens only.
    pub const fn without_refresh_tokens(mut self) -> Self {
        self.issues_refresh_tokens = false;
        self
    }

    /// A refresh token is good for any number of refreshes; every response names it again.
    pub const fn without_rotation(mut self) -> Self {
        self.rotates = false;
        self
    }

    /// As [`without_rotation`](Self::without_rotation), and the response to a refresh does not name it.
    pub const fn with_refresh_token_omitted(mut self) -> Self {
        self.omits_refresh_token = true;
        self.without_rotation()
    }

    /// A refresh token that is used twice is refused, and its grant lives on.
    pub const fn without_reuse_detection(mut self) -> Self {
        self.reuse_ends_grant = false;
        self
    }

    /// A refresh token may be used again for so long, by the provider's clock, after its first use; each use brings new tokens.
    pub const fn with_reuse_leeway(mut self, leeway: Duration) -> Self {
        self.reuse_leeway = leeway;
        self
    }

    /// A refresh kills the access tokens that the grant had before.
    pub const fn with_only_newest_access_token(mut self) -> Self {
        self.only_newest_access_token = true;
        self
    }

    /// Access tokens are good for so long.
    pub const fn with_access_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.access_token_lifetime = Some(lifetime);
        self
    }

    /// Access tokens do not expire, and no response has `expires_in`.
    pub const fn without_access_token_expiry(mut self) -> Self {
        self.access_token_lifetime = None;
        self
    }

    /// Access tokens expire, and no response says when.
    pub const fn without_expires_in(mut self) -> Self {
        self.tells_expires_in = false;
        self
    }

    /// Refresh tokens are good for so long, and responses say so in `refresh_expires_in`.
    pub const fn with_refresh_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.refresh_token_lifetime = Some(lifetime);
        self
    }

    /// A refresh grants no more than `scope`, a list separated by spaces, whatever the grant was for.
    pub fn with_refreshed_scope(mut self, scope: &str) -> Self {
        self.refreshed_scope = Some(scope.to_owned());
        self
    }

    /// No ID tokens, whatever is asked for. Without this, a code for the scope `openid` brings one, if the vendor knows them.
    pub const fn without_id_tokens(mut self) -> Self {
        self.issues_id_tokens = false;
        self
    }

    /// Access tokens are JWTs, signed by the provider.
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
