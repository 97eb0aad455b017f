//! How a provider names itself, and how it says who a user is.

use http::Uri;

use super::Provider;
use crate::id_token::IdTokenPolicy;

impl Provider {
    /// Where the keys of its ID tokens are; `None` if that is for its metadata to say.
    #[must_use]
    pub const fn jwks_uri(&self) -> Option<&Uri> {
        self.endpoints.keys.as_ref()
    }

    /// Whether an ID token must come with a login where `openid` is asked for: not at GitHub, and not at Atlassian.
    #[must_use]
    pub const fn issues_id_tokens(&self) -> bool {
        self.id_tokens
    }

    /// What makes an ID token good for the client `client_id`; `None` if there are none.
    #[must_use]
    pub fn id_token_policy(&self, client_id: &str) -> Option<IdTokenPolicy> {
        let policy = self.issues_id_tokens().then(|| IdTokenPolicy::new(self.issuer.clone(), client_id))?;
        Some(self.vendor.issuer_alias.into_iter().fold(policy, IdTokenPolicy::with_issuer_alias))
    }

    /// Whether every authorization response names its issuer.
    #[must_use]
    pub const fn advertises_issuer(&self) -> bool {
        self.advertises_issuer
    }

    /// Whether it may call itself `issuer`: compared as strings.
    pub(super) fn is_named(&self, issuer: &str) -> bool {
        issuer == self.issuer.as_str() || self.vendor.issuer_alias == Some(issuer)
    }
}
