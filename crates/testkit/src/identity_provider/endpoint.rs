//! [`Endpoint`]: where an identity provider can be called.

/// Where an [`IdentityProvider`](crate::IdentityProvider) can be called: what faults are set on and calls are counted for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Endpoint {
    /// `/.well-known/oauth-authorization-server`, [RFC 8414](https://www.rfc-editor.org/rfc/rfc8414).
    AuthorizationServerMetadata,
    /// `/.well-known/openid-configuration`, OpenID Connect Discovery.
    OpenIdConfiguration,
    /// `/jwks`, the key set.
    KeySet,
    /// `/token`, [RFC 6749 section 3.2](https://www.rfc-editor.org/rfc/rfc6749#section-3.2): codes and refresh tokens.
    Token,
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
}

impl Endpoint {
    /// All of them, for an outage of everything.
    pub const ALL: [Self; 9] = [
        Self::AuthorizationServerMetadata,
        Self::OpenIdConfiguration,
        Self::KeySet,
        Self::Token,
        Self::Revocation,
        Self::Introspection,
        Self::UserInfo,
        Self::GitHubUser,
        Self::GitHubTokenCheck,
    ];

    /// The endpoint at `path`, if the path of the issuer is `base` (without a slash at the end).
    pub(super) fn at(path: &str, base: &str) -> Option<Self> {
        let inserted = |name: &str| path.strip_prefix(name) == Some(base);
        if inserted("/.well-known/oauth-authorization-server") {
            return Some(Self::AuthorizationServerMetadata);
        }
        if inserted("/.well-known/openid-configuration") {
            return Some(Self::OpenIdConfiguration);
        }
        match path.strip_prefix(base)? {
            "/.well-known/openid-configuration" => Some(Self::OpenIdConfiguration),
            "/jwks" => Some(Self::KeySet),
            "/token" => Some(Self::Token),
            "/revoke" => Some(Self::Revocation),
            "/introspect" => Some(Self::Introspection),
            "/userinfo" => Some(Self::UserInfo),
            "/user" => Some(Self::GitHubUser),
            rest => {
                let client_id = rest.strip_prefix("/applications/")?.strip_suffix("/token")?;
                (!client_id.contains('/')).then_some(Self::GitHubTokenCheck)
            }
        }
    }

    /// Whether a call changes something.
    pub(super) const fn has_effects(self) -> bool {
        matches!(self, Self::Token | Self::Revocation)
    }

    /// Whether it is asked by `POST`, with credentials of the client.
    pub(super) const fn is_posted(self) -> bool {
        matches!(self, Self::Token | Self::Revocation | Self::Introspection | Self::GitHubTokenCheck)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_the_issuer_goes_behind_well_known_or_before() {
        let at = |path| Endpoint::at(path, "/realms/x");
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
