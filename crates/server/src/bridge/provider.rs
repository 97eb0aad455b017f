//! The provider that the section `bridge` names, asked for its metadata if need be.

use std::{error::Error as _, time::Duration};

use http::Uri;
use portcullis::{Issuer, egress::Egress, oauth::providers::Provider, verify::discover};
use tokio::time::sleep;

use crate::config::{EndpointSettings, KnownProvider, ProviderSettings};

/// Between two questions for the metadata of a provider that does not answer.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The provider. One whose metadata cannot be had is asked again, for as long as it takes.
pub(super) async fn provider(settings: &ProviderSettings, egress: &Egress) -> Provider {
    let provider = match &settings.known {
        KnownProvider::All(provider) => provider.as_ref().clone(),
        KnownProvider::Issuer(issuer) => discovered(issuer, egress).await,
    };
    let errors = settings.dead_grant_errors.iter().map(String::as_str);
    with_endpoints(provider.with_dead_grant_errors(errors), &settings.endpoints)
}

async fn discovered(issuer: &Issuer, egress: &Egress) -> Provider {
    let mut pause = FIRST_PAUSE;
    loop {
        let problem = match discover(egress, issuer).await {
            Ok(metadata) => match Provider::oidc(&metadata) {
                Ok(provider) => return provider,
                Err(error) => error.to_string(),
            },
            Err(error) => error.source().map_or_else(|| error.to_string(), ToString::to_string),
        };
        tracing::warn!(%issuer, problem, again_in = ?pause, "the provider's metadata cannot be had; nobody is let in before that");
        sleep(pause).await;
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}

fn with_endpoints(provider: Provider, endpoints: &EndpointSettings) -> Provider {
    let EndpointSettings { authorize, token, userinfo, revocation, introspection, jwks } = endpoints;
    let at = |provider, endpoint: &Option<Uri>, change: fn(Provider, Uri) -> Provider| match endpoint {
        Some(endpoint) => change(provider, endpoint.clone()),
        None => provider,
    };
    let provider = at(provider, authorize, Provider::with_authorization_endpoint);
    let provider = at(provider, token, Provider::with_token_endpoint);
    let provider = at(provider, userinfo, Provider::with_userinfo_endpoint);
    let provider = at(provider, revocation, Provider::with_revocation_endpoint);
    let provider = at(provider, introspection, Provider::with_introspection_endpoint);
    at(provider, jwks, Provider::with_jwks_uri)
}
