//! [`Vendor`]: the vendor whose messages, paths and policies an identity provider imitates.

use super::{
    super::{Fault, IdentityProvider, TokenPolicy},
    Dialect, ErrorClass,
    atlassian::Atlassian,
    github::GitHub,
    google::Google,
    keycloak::Keycloak,
    salesforce::Salesforce,
};

/// The vendor whose messages, paths and policies an identity provider imitates: see [`IdentityProvider::of`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Vendor {
    /// A realm `test`. Access tokens are JWTs with the roles of the user (`realm_access` of the profile); refresh tokens may be
    /// used again, as long as "Revoke Refresh Token" is off.
    Keycloak,
    /// No rotation; a refresh does not name the refresh token.
    Google,
    /// A GitHub App: refresh tokens are good once, and a refresh kills the access token. With a policy
    /// [`without_refresh_tokens`](TokenPolicy::without_refresh_tokens) an OAuth App, whose tokens do not expire.
    GitHub,
    /// JSON at the token endpoint; rotation with a leeway of ten minutes; a refresh token only for `offline_access`.
    Atlassian,
    /// No response says how long a token lives; introspection does.
    Salesforce,
}

impl Vendor {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Keycloak, Self::Google, Self::GitHub, Self::Atlassian, Self::Salesforce];

    /// Returns the default token policy of the vendor.
    pub fn token_policy(self) -> TokenPolicy {
        self.dialect().token_policy()
    }

    /// Returns an error of this class in the form of this vendor: for [`IdentityProvider::set_fault`].
    ///
    /// Most come by themselves too: revoke a token, present one that is used up, send a wrong secret.
    #[must_use]
    pub fn fault(self, class: ErrorClass) -> Fault {
        Fault::answer(self.dialect().error(class))
    }

    fn dialect(self) -> &'static dyn Dialect {
        match self {
            Self::Keycloak => &Keycloak,
            Self::Google => &Google,
            Self::GitHub => &GitHub,
            Self::Atlassian => &Atlassian,
            Self::Salesforce => &Salesforce,
        }
    }
}

impl IdentityProvider {
    /// Creates a provider with the paths, messages and policies of `vendor`.
    /// Endpoints that are on several hosts in reality are on one here: [`endpoint_url`](Self::endpoint_url) says where.
    ///
    /// ```
    /// use portcullis_testkit::{Endpoint, IdentityProvider, Vendor};
    ///
    /// let provider = IdentityProvider::of(Vendor::Atlassian);
    /// assert_eq!(provider.endpoint_url(Endpoint::Token), "https://idp.example.test/oauth/token");
    /// ```
    #[must_use]
    pub fn of(vendor: Vendor) -> Self {
        let provider = Self::new();
        {
            let mut state = provider.state();
            state.dialect = vendor.dialect();
            state.policy = vendor.token_policy();
            state.issuer.push_str(vendor.dialect().issuer_path());
        }
        provider
    }
}
