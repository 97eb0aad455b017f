//! oauth-resource-server, with ring.

use std::{error::Error, sync::Arc};

use axum::Router;
use oauth_resource_server::{KeyNaming, OAuthConfig, OAuthValidator, axum::AuthLayer, static_token_policy};
use portcullis_testkit::IdentityProvider;

use crate::{mcp, provider::Providers};

/// The name of the peer.
pub(crate) const NAME: &str = "axum: oauth-resource-server, RS256";

/// Returns a router behind the peer.
pub(crate) async fn router(providers: &Providers) -> Result<Router, Box<dyn Error>> {
    let config = OAuthConfig {
        enabled: true,
        issuer: providers.jwt.issuer(),
        audience: IdentityProvider::AUDIENCE.to_owned(),
        resource: IdentityProvider::AUDIENCE.to_owned(),
        required_scope: Some("mcp:use".to_owned()),
        ..OAuthConfig::default()
    };
    let config = config.resolve(KeyNaming::Dotted("oauth"))?.ok_or("enabled")?;
    let validator = Arc::new(OAuthValidator::new(&config)?);
    validator.refresh_now().await?;
    let decision = static_token_policy(None, Some(&config), false)?;
    Ok(mcp::router().layer(AuthLayer::from_decision(decision, Some(validator))?))
}
