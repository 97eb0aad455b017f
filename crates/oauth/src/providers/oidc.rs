//! Any OpenID provider or OAuth authorization server that keeps to the standards.

use http::Uri;
use portcullis_core::Issuer;

use super::{Provider, provider::Endpoints, token_refusal::Meaning, vendor::Vendor};
use crate::{ProtocolError, metadata::AuthorizationServerMetadata};

/// Glewlwyd has a word of its own for a dead code.
static OIDC: Vendor = Vendor { errors: &[("invalid_code", "", Meaning::Grant)], ..Vendor::STANDARD };

impl Provider {
    /// The authorization server that `metadata` describes.
    ///
    /// # Errors
    /// [`ProtocolError::InvalidMember`] if it has no authorization endpoint or no token endpoint.
    pub fn oidc(metadata: &AuthorizationServerMetadata) -> Result<Self, ProtocolError> {
        let required = |endpoint: Option<&Uri>, name| endpoint.cloned().ok_or(ProtocolError::InvalidMember(name));
        let endpoints = Endpoints {
            authorization: required(metadata.authorization_endpoint(), "authorization_endpoint")?,
            token: required(metadata.token_endpoint(), "token_endpoint")?,
            userinfo: metadata.userinfo_endpoint().cloned(),
            introspection: metadata.introspection_endpoint().cloned(),
            revocation: metadata.revocation_endpoint().cloned(),
            keys: metadata.jwks_uri().cloned(),
        };
        let provider = Self::new(&OIDC, metadata.issuer().clone(), endpoints);
        Ok(if metadata.advertises_issuer() { provider.with_advertised_issuer() } else { provider })
    }

    /// An authorization server without metadata. Its other endpoints are named by the methods `with_*`.
    #[must_use]
    pub const fn oidc_at(issuer: Issuer, authorization_endpoint: Uri, token_endpoint: Uri) -> Self {
        Self::new(&OIDC, issuer, Endpoints::new(authorization_endpoint, token_endpoint))
    }
}
