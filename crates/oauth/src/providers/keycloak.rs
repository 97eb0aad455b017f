//! Keycloak: OpenID Connect, with roles in the access token.

use portcullis_core::{InvalidUri, Issuer};

use super::{
    Provider,
    provider::url,
    vendor::{Endpoints, ErrorMeaning, ErrorRule, Vendor},
};

/// `refresh_expires_in` is 0 for offline tokens, although they expire. Whether a refresh token can be presented twice is a setting of the
/// realm (*Revoke Refresh Token*), so the worst case is assumed.
fn vendor() -> Vendor {
    Vendor {
        name: "keycloak",
        // The response to a wrong secret.
        errors: vec![ErrorRule::new("unauthorized_client", ErrorMeaning::Credentials)],
        claims_in_token: true,
        // In releases before 2025: <https://github.com/keycloak/keycloak/issues/35486>
        revocation_ends_other_logins: true,
        ..Vendor::standard()
    }
}

impl Provider {
    /// Creates the provider for the realm `realm` of the Keycloak at `server_url`. The URL of a server before version 17 ends with `/auth`.
    ///
    /// The profile needs the scope `openid`. If the realm does not revoke refresh tokens on use, set
    /// [`with_rotation`](Self::with_rotation).
    ///
    /// # Errors
    /// [`InvalidUri`] if the two make no valid issuer.
    pub fn keycloak(server_url: &str, realm: &str) -> Result<Self, InvalidUri> {
        let issuer = Issuer::new(&format!("{}/realms/{realm}", server_url.trim_end_matches('/')))?;
        let endpoint = |name: &str| url(issuer.as_str(), &format!("/protocol/openid-connect/{name}"));
        let mut endpoints = Endpoints::new(endpoint("auth")?, endpoint("token")?);
        endpoints.userinfo = Some(endpoint("userinfo")?);
        endpoints.introspection = Some(endpoint("token/introspect")?);
        endpoints.revocation = Some(endpoint("revoke")?);
        endpoints.keys = Some(endpoint("certs")?);
        Ok(Self::of_vendor(vendor(), issuer, endpoints))
    }
}
