//! Keycloak: OpenID Connect, with roles in the access token.

use portcullis_core::{InvalidUri, Issuer};

use super::{
    Provider,
    provider::{Endpoints, url},
    token_refusal::Meaning,
    vendor::Vendor,
};

/// `refresh_expires_in` is 0 for offline tokens, though they have an end. Whether a refresh token can be presented twice is a
/// setting of the realm (*Revoke Refresh Token*), so the worst is assumed.
static KEYCLOAK: Vendor = Vendor {
    name: "keycloak",
    // Of a wrong secret.
    errors: &[("unauthorized_client", "", Meaning::Credentials)],
    claims_in_token: true,
    // In releases before 2025: <https://github.com/keycloak/keycloak/issues/35486>
    revocation_ends_other_logins: true,
    ..Vendor::STANDARD
};

impl Provider {
    /// The realm `realm` of the Keycloak at `server_url`. Servers before version 17 have `/auth` at the end of it.
    ///
    /// Userinfo demands the scope `openid`. Where the realm does not revoke refresh tokens when they are used, say so by
    /// [`with_rotation`](Self::with_rotation).
    ///
    /// # Errors
    /// [`InvalidUri`] if that makes no issuer.
    pub fn keycloak(server_url: &str, realm: &str) -> Result<Self, InvalidUri> {
        let issuer = Issuer::new(&format!("{}/realms/{realm}", server_url.trim_end_matches('/')))?;
        let endpoint = |name: &str| url(issuer.as_str(), &format!("/protocol/openid-connect/{name}"));
        let endpoints = Endpoints {
            authorization: endpoint("auth")?,
            token: endpoint("token")?,
            userinfo: Some(endpoint("userinfo")?),
            introspection: Some(endpoint("token/introspect")?),
            revocation: Some(endpoint("revoke")?),
            keys: Some(endpoint("certs")?),
        };
        Ok(Self::new(&KEYCLOAK, issuer, endpoints))
    }
}
