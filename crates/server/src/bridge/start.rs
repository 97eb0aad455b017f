//! [`start`]: from the configuration to a gate and a bridge.

use std::sync::Arc;

use portcullis::{
    AuthConfig, BridgedServer, BridgedUsers,
    bridge::{Bridge, BridgeConfig, TrustedIssuer},
    core::SystemClock,
    egress::{Egress, EgressConfig},
    verify::RemoteKeySet,
};

use super::{OpenStore, provider};
use crate::{
    config::{BridgeSettings, Config},
    gate,
    run::Failure,
};

/// The gate, and the bridge behind whose routes its users log in.
///
/// A provider that cannot be asked where its endpoints are is waited for.
pub(crate) async fn start(
    config: &Config,
    settings: &BridgeSettings,
    store: OpenStore,
) -> Result<(AuthConfig<BridgedUsers>, Bridge), Failure> {
    let provider_egress = gate::egress_config(&config.egress);
    let egress = Egress::new(provider_egress.clone())?;
    let provider = provider::provider(&settings.provider, &egress).await;
    let server = BridgedServer::new(with_trusted_issuers(settings, &egress), provider, settings.client.clone())
        .with_resource_name("Portcullis example")
        .with_cache(gate::cache_config(&config.cache))
        .with_outage_grace(settings.outage_grace)
        .with_provider_egress(provider_egress)
        // What clients name is fetched from public addresses, whatever the provider needs.
        .with_client_egress(
            EgressConfig::new()
                .with_allow_loopback(config.egress.allow_loopback_for_clients)
                .with_timeout(config.egress.timeout),
        )
        .with_clock(Arc::new(SystemClock::new()));
    let (auth, bridge) = store.behind(server).build()?;
    Ok((auth.with_required_scopes(config.required_scopes.clone()), bridge))
}

/// The configuration, and the enterprises whose assertions are good.
fn with_trusted_issuers(settings: &BridgeSettings, egress: &Egress) -> BridgeConfig {
    settings.trusted_issuers.iter().fold(settings.config.clone(), |config, trusted| {
        let keys = match &trusted.jwks_uri {
            Some(uri) => RemoteKeySet::at(uri.clone(), egress.clone()),
            None => RemoteKeySet::discovered(trusted.issuer.clone(), egress.clone()),
        };
        config.with_trusted_issuer(TrustedIssuer::new(trusted.issuer.clone(), keys))
    })
}
