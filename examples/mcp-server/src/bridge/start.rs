//! [`start`]: from the configuration to a gate and a bridge.

use std::sync::Arc;

use portcullis::{
    AuthConfig, BridgedServer, BridgedUsers,
    bridge::Bridge,
    core::SystemClock,
    egress::{Egress, EgressConfig},
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
    let provider = provider::provider(&settings.provider, &Egress::new(provider_egress.clone())?).await;
    let server = BridgedServer::new(settings.config.clone(), provider, settings.client.clone())
        .with_resource_name("Portcullis example")
        .with_cache(gate::cache_config(&config.cache))
        .with_provider_egress(provider_egress)
        // What clients say of themselves is fetched from public addresses, whatever network the provider stands in.
        .with_client_egress(
            EgressConfig::new().with_allow_loopback(config.egress.allow_loopback).with_timeout(config.egress.timeout),
        )
        .with_clock(Arc::new(SystemClock::new()));
    let (auth, bridge) = store.behind(server)?.build()?;
    Ok((auth.with_required_scopes(config.required_scopes.clone()), bridge))
}
