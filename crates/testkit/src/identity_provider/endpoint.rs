//! [`Endpoint`]: where an identity provider can be called.

/// Where an [`IdentityProvider`](crate::IdentityProvider) can be called: what faults are set on and calls are counted for.
///
/// The paths are those of a provider of no vendor; a [`Vendor`](crate::Vendor) has its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Endpoint {
    /// `/.well-known/oauth-authorization-server`, [RFC 8414](https://www.rfc-editor.org/rfc/rfc8414).
    AuthorizationServerMetadata,
    /// `/.well-known/openid-configuration`, OpenID Connect Discovery.
    OpenIdConfiguration,
    /// `/jwks`, the key set.
    KeySet,
    /// `/authorize`, [RFC 6749 section 3.1](https://www.rfc-editor.org/rfc/rfc6749#section-3.1): the login page of browsers.
    Authorization,
    /// `/token`, [RFC 6749 section 3.2](https://www.rfc-editor.org/rfc/rfc6749#section-3.2): codes and refresh tokens.
    Token,
    /// `/register`, [RFC 7591](https://www.rfc-editor.org/rfc/rfc7591), once a test has
    /// [opened](crate::IdentityProvider::open_registration) it.
    Registration,
    /// `/revoke`, [RFC 7009](https://www.rfc-editor.org/rfc/rfc7009).
    Revocation,
    /// `/introspect`, [RFC 7662](https://www.rfc-editor.org/rfc/rfc7662).
    Introspection,
    /// `/userinfo`, OpenID Connect UserInfo.
    UserInfo,
    /// `/user`, as GitHub has it.
    GitHubUser,
    /// `/applications/{client_id}/token`, as GitHub has it.
    GitHubTokenCheck,
    /// `/user/emails`, as GitHub has it, and only there.
    GitHubEmails,
    /// `/oauth/token/accessible-resources`, as Atlassian has it, and only there.
    AtlassianSites,
}

impl Endpoint {
    /// All of them, for an outage of everything.
    pub const ALL: [Self; 13] = [
        Self::AuthorizationServerMetadata,
        Self::OpenIdConfiguration,
        Self::KeySet,
        Self::Authorization,
        Self::Token,
        Self::Registration,
        Self::Revocation,
        Self::Introspection,
        Self::UserInfo,
        Self::GitHubUser,
        Self::GitHubTokenCheck,
        Self::GitHubEmails,
        Self::AtlassianSites,
    ];

    /// Which of `endpoints` is at `path`, if the path of the issuer is `base` (without a slash at the end).
    pub(super) fn at(path: &str, base: &str, endpoints: &[(Self, &str)]) -> Option<Self> {
        let below = path.strip_prefix(base);
        let found = endpoints.iter().find(|(endpoint, pattern)| match endpoint {
            Self::AuthorizationServerMetadata => path.strip_prefix(pattern) == Some(base),
            Self::OpenIdConfiguration => path.strip_prefix(pattern) == Some(base) || below == Some(pattern),
            _ => below.is_some_and(|below| matches(below, pattern)),
        });
        found.map(|(endpoint, _)| *endpoint)
    }

    /// Whether a call changes something.
    pub(super) const fn has_effects(self) -> bool {
        matches!(self, Self::Token | Self::Registration | Self::Revocation)
    }

    /// Whether it is asked by `POST`.
    pub(super) const fn is_posted(self) -> bool {
        matches!(
            self,
            Self::Token | Self::Registration | Self::Revocation | Self::Introspection | Self::GitHubTokenCheck
        )
    }
}

/// Whether `path` is `pattern`, in which `{}` stands for one segment.
fn matches(path: &str, pattern: &str) -> bool {
    match pattern.split_once("{}") {
        None => path == pattern,
        Some((before, after)) => {
            let segment = path.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
            segment.is_some_and(|segment| !segment.contains('/'))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::vendor::{Dialect, Standard},
        *,
    };

    #[test]
    fn the_path_of_the_issuer_goes_behind_well_known_or_before() {
        let at = |path| Endpoint::at(path, "/realms/x", Standard.paths());
        assert_eq!(at("/.well-known/oauth-authorization-server/realms/x"), Some(Endpoint::AuthorizationServerMetadata));
        assert_eq!(at("/.well-known/openid-configuration/realms/x"), Some(Endpoint::OpenIdConfiguration));
        assert_eq!(at("/realms/x/.well-known/openid-configuration"), Some(Endpoint::OpenIdConfiguration));
        assert_eq!(at("/realms/x/jwks"), Some(Endpoint::KeySet));
        assert_eq!(at("/realms/x/applications/app/token"), Some(Endpoint::GitHubTokenCheck));
        for path in
            ["/jwks", "/.well-known/oauth-authorization-server", "/realms/x", "/realms/x/applications/a/b/token"]
        {
            assert_eq!(at(path), None, "{path}");
        }
    }
}
