//! tower-oauth2-resource-server, with aws-lc.

use std::{error::Error, time::Duration};

use axum::{Router, body::Body};
use portcullis_testkit::IdentityProvider;
use tower_oauth2_resource_server::{server::OAuth2ResourceServer, tenant::TenantConfiguration};

use crate::{
    mcp::{self, bearer, respond},
    provider::{Providers, Tokens},
};

/// The name of the peer.
pub(crate) const NAME: &str = "axum: tower-oauth2-resource-server, RS256";

/// Returns a router behind the peer.
pub(crate) async fn router(providers: &Providers, tokens: &Tokens) -> Result<Router, Box<dyn Error>> {
    let tenant = TenantConfiguration::builder(providers.jwt.issuer()).audiences(&[IdentityProvider::AUDIENCE]);
    let server = <OAuth2ResourceServer>::builder().add_tenant(tenant.build().await?).build().await?;
    let router = mcp::router().layer(server.into_layer());
    // The peer responds 401 until it has fetched the keys in the background.
    for _ in 0..200 {
        if respond::<_, Body, _>(&router, bearer(&tokens.jwt)).await.status() == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(router)
}
