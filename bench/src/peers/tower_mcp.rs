//! tower-mcp's OAuth layer, with aws-lc.

use std::error::Error;

use axum::Router;
use portcullis_testkit::IdentityProvider;
use tower_mcp::oauth::{JwksValidator, OAuthLayer, ProtectedResourceMetadata};

use crate::{mcp, provider::Providers};

/// The name of the peer.
pub(crate) const NAME: &str = "axum: tower-mcp OAuthLayer, RS256";

/// Returns a router behind the peer.
pub(crate) async fn router(providers: &Providers) -> Result<Router, Box<dyn Error>> {
    let validator = JwksValidator::builder(providers.jwt.url("/jwks"))
        .expected_audience(IdentityProvider::AUDIENCE)
        .expected_issuer(&providers.jwt.issuer())
        .build()
        .await?;
    let metadata =
        ProtectedResourceMetadata::new(IdentityProvider::AUDIENCE).authorization_server(providers.jwt.issuer());
    Ok(mcp::router().layer(OAuthLayer::new(validator, metadata)))
}
