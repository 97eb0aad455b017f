//! OpenID providers and OAuth authorization servers that follow the standards.

use http::Uri;
use portcullis_core::Issuer;

use super::{
    Provider,
    vendor::{Endpoints, ErrorMeaning, ErrorRule, Vendor},
};
use crate::{ProtocolError, metadata::AuthorizationServerMetadata};

/// `invalid_code` is Glewlwyd's error for a dead authorization code.
fn vendor() -> Vendor {
    Vendor { errors: vec![ErrorRule::new("invalid_code", ErrorMeaning::Grant)], ..Vendor::standard() }
}

impl Provider {
    /// Creates a provider from the authorization server's metadata.
    ///
    /// # Errors
    /// [`ProtocolError::InvalidMember`] if there is no authorization endpoint or no token endpoint.
    pub fn oidc(metadata: &AuthorizationServerMetadata) -> Result<Self, ProtocolError> {
        let required = |endpoint: Option<&Uri>, name| endpoint.cloned().ok_or(ProtocolError::InvalidMember(name));
        let mut endpoints = Endpoints::new(
            required(metadata.authorization_endpoint(), "authorization_endpoint")?,
            required(metadata.token_endpoint(), "token_endpoint")?,
        );
        endpoints.userinfo = metadata.userinfo_endpoint().cloned();
        endpoints.introspection = metadata.introspection_endpoint().cloned();
        endpoints.revocation = metadata.revocation_endpoint().cloned();
        endpoints.keys = metadata.jwks_uri().cloned();
        let provider = Self::of_vendor(vendor(), metadata.issuer().clone(), endpoints);
        Ok(if metadata.advertises_issuer() { provider.with_advertised_issuer() } else { provider })
    }

    /// Creates a provider for an authorization server without metadata. Set its other endpoints by the `with_*` methods.
    #[must_use]
    pub fn oidc_at(issuer: Issuer, authorization_endpoint: Uri, token_endpoint: Uri) -> Self {
        Self::of_vendor(vendor(), issuer, Endpoints::new(authorization_endpoint, token_endpoint))
    }
}
