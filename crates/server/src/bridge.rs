//! `mode = "bridge"`: authentication with an authorization server of our own, from the configuration.

use std::{sync::Arc, time::Duration};

use http::Uri;
use portcullis::bridge::{Bridge, BridgeConfig, TrustedIssuer};
use portcullis::egress::Egress;
use portcullis::oauth::{metadata::AuthorizationServerMetadata, providers::Provider};
use portcullis::verify::{RemoteKeySet, discover};
use portcullis::{AuthConfig, BridgedServer, BridgedVerifier, types::SystemClock};
use tokio::time::sleep;

use crate::config::{BridgeSettings, Config, EndpointSettings, KnownProvider, ProviderSettings};
use crate::{resource_server, serve_error::Failure, store::OpenStore};

/// The first pause after the provider's metadata could not be fetched; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Builds the authentication of requests, and the bridge. Waits for the provider's metadata if the configuration does not name all
/// endpoints; meanwhile calls `waiting` with the problem of each attempt.
pub(crate) async fn build(
    config: &Config,
    settings: &BridgeSettings,
    store: OpenStore,
    resource_name: Option<&str>,
    waiting: impl Fn(String),
) -> Result<(AuthConfig<BridgedVerifier>, Bridge), Failure> {
    let provider_egress = config.egress.for_providers();
    let egress = Egress::new(provider_egress.clone())?;
    let provider = provider(&settings.provider, &egress, waiting).await;
    let server = BridgedServer::new(with_trusted_issuers(settings, &egress), provider, settings.client.clone())
        .with_cache(resource_server::cache_config(&config.cache))
        .with_outage_grace(settings.outage_grace)
        .with_provider_egress(provider_egress)
        // The URLs that clients name must be public, even if the provider is in a private network.
        .with_client_egress(config.egress.for_clients())
        .with_clock(Arc::new(SystemClock::new()));
    let server = resource_name.into_iter().fold(server, BridgedServer::with_resource_name);
    let (auth, bridge) = store.behind(server).build()?;
    let auth = auth.with_required_scopes(config.required_scopes.clone()).with_session_binding(config.session_binding());
    Ok((auth, bridge))
}

fn with_trusted_issuers(settings: &BridgeSettings, egress: &Egress) -> BridgeConfig {
    settings.trusted_issuers.iter().fold(settings.config.clone(), |config, trusted| {
        let keys = match &trusted.jwks_uri {
            Some(uri) => RemoteKeySet::at(uri.clone(), egress.clone()),
            None => RemoteKeySet::discovered(trusted.issuer.clone(), egress.clone()),
        };
        config.with_trusted_issuer(TrustedIssuer::new(trusted.issuer.clone(), keys))
    })
}

/// Returns the provider of the configuration. Repeats discovery until it succeeds.
async fn provider(settings: &ProviderSettings, egress: &Egress, waiting: impl Fn(String)) -> Provider {
    let mut pause = FIRST_PAUSE;
    loop {
        match known_provider(settings, egress).await {
            Ok(provider) => return provider,
            Err(problem) => {
                let issuer = settings.issuer();
                tracing::warn!(%issuer, problem, retry_in = ?pause, "provider metadata cannot be fetched; requests are rejected with 503 until then");
                waiting(format!("{issuer}: {problem} (`bridge.issuer`, section `egress`)"));
            }
        }
        sleep(pause).await;
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}

/// Returns the provider of the configuration, or why its metadata cannot be used.
pub(crate) async fn known_provider(settings: &ProviderSettings, egress: &Egress) -> Result<Provider, String> {
    let provider = match &settings.known {
        KnownProvider::All(provider) => provider.as_ref().clone(),
        KnownProvider::Issuer(issuer) => {
            let metadata = discover(egress, issuer).await;
            let metadata = metadata.map_err(|error| error.causes().unwrap_or_else(|| error.to_string()))?;
            // Endpoints of the configuration count also where the metadata has none.
            let EndpointSettings { authorize, token, .. } = settings.endpoints.clone();
            let metadata =
                authorize.into_iter().fold(metadata, AuthorizationServerMetadata::with_authorization_endpoint);
            let metadata = token.into_iter().fold(metadata, AuthorizationServerMetadata::with_token_endpoint);
            Provider::oidc(&metadata).map_err(|error| error.to_string())?
        }
    };
    let provider = provider.with_vendor(|vendor| settings.changes.apply(vendor));
    if provider.vendor().has_shared_subject() {
        let (provider, subject) = (provider.name(), provider.vendor().subject.path());
        tracing::warn!(
            provider,
            subject,
            "several users may have the same value of the member that is to identify the user; they would be one user here: set `bridge.oauth2.subject` to a member of the user alone"
        );
    }
    Ok(with_endpoints(provider, &settings.endpoints))
}

fn with_endpoints(provider: Provider, endpoints: &EndpointSettings) -> Provider {
    let EndpointSettings { authorize, token, refresh, userinfo, revocation, introspection, jwks } = endpoints;
    let at = |provider, endpoint: &Option<Uri>, change: fn(Provider, Uri) -> Provider| match endpoint {
        Some(endpoint) => change(provider, endpoint.clone()),
        None => provider,
    };
    let provider = at(provider, authorize, Provider::with_authorization_endpoint);
    let provider = at(provider, token, Provider::with_token_endpoint);
    let provider = at(provider, refresh, Provider::with_refresh_endpoint);
    let provider = at(provider, userinfo, Provider::with_userinfo_endpoint);
    let provider = at(provider, revocation, Provider::with_revocation_endpoint);
    let provider = at(provider, introspection, Provider::with_introspection_endpoint);
    at(provider, jwks, Provider::with_jwks_uri)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use portcullis::egress::EgressConfig;
    use portcullis_test_support::LogCapture;

    use super::*;
    use crate::config::ModeSettings;

    async fn warnings(subject: &str) -> Vec<String> {
        let text = format!(
            r#"mode = "bridge"
            store.url = "memory:"
            bridge.provider = "oauth2"
            bridge.client_id = "app"
            bridge.client_secret = "hush"
            bridge.endpoints.authorize = "https://zoom.us/oauth/authorize"
            bridge.endpoints.token = "https://zoom.us/oauth/token"
            bridge.endpoints.userinfo = "https://api.zoom.us/v2/users/me"
            bridge.oauth2.subject = "{subject}""#
        );
        let config = Config::parse("file.toml", &text, Vec::<(OsString, OsString)>::new()).expect("valid");
        let ModeSettings::Bridge(settings, _) = config.mode else { panic!("a bridge") };
        let log = LogCapture::of_this_thread();
        let _ = provider(&settings.provider, &Egress::new(EgressConfig::new()).expect("TLS"), drop).await;
        log.lines("several users may have the same value")
    }

    #[tokio::test]
    async fn a_subject_that_several_users_share_is_warned_of_at_the_start() {
        let [warning] = &warnings("account_id").await[..] else { panic!("one warning") };
        assert!(warning.contains("bridge.oauth2.subject") && warning.contains("account_id"), "{warning}");
        assert_eq!(warnings("id").await.len(), 0);
    }
}
