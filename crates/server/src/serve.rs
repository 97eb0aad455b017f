//! Serving, in either mode, from the start to the end.

use std::{pin::pin, sync::Arc, time::Duration};

use metrics_exporter_prometheus::PrometheusHandle;
use portcullis::{bridge::Bridge, core::SystemClock};
use tokio::time::timeout;

use crate::{
    bridge::{self, OpenStore},
    config::{BridgeSettings, Config, IssuerSettings, ModeSettings, StoreSettings},
    gate,
    late::LateRoutes,
    readiness::Readiness,
    run::Failure,
    server::{self, Listeners},
    shutdown::Shutdown,
    telemetry,
    tools::Tools,
};

/// How long refreshes under way may take, and telling the provider what has ended. An exchange takes 10 s at most.
const DRAIN: Duration = Duration::from_secs(15);

/// Serves as `config` says; `announce` is called when users could get in.
pub(crate) async fn serve(config: &Config, announce: impl FnOnce(&Config)) -> Result<(), Failure> {
    let shutdown = Shutdown::on_signal()?;
    // Before anything that counts is made.
    let metrics = telemetry::metrics()?;
    match &config.mode {
        ModeSettings::ResourceServer(issuers) => resource_server(config, issuers, announce, metrics, shutdown).await,
        ModeSettings::Bridge(settings, store) => bridge(config, settings, store, announce, metrics, shutdown).await,
    }
}

async fn resource_server(
    config: &Config,
    issuers: &[IssuerSettings],
    announce: impl FnOnce(&Config),
    metrics: PrometheusHandle,
    shutdown: Shutdown,
) -> Result<(), Failure> {
    let (auth, keys) = gate::build(config, issuers)?;
    let readiness = Readiness::Keys(keys.into());
    let listeners = Listeners::bind(config).await?;
    // Fetched before the first user comes; what fails is logged, and tried again when somebody needs it.
    tokio::spawn({
        let readiness = readiness.clone();
        async move { drop(readiness.waiting().await) }
    });
    announce(config);
    let routes = server::routes(config, auth, Tools::default(), false, shutdown.clone());
    server::serve(listeners, routes, readiness, metrics, shutdown).await;
    Ok(())
}

/// A bridge whose provider is down begins to listen all the same, says so to everybody, and begins when the provider is back.
async fn bridge(
    config: &Config,
    settings: &BridgeSettings,
    store: &StoreSettings,
    announce: impl FnOnce(&Config),
    metrics: PrometheusHandle,
    shutdown: Shutdown,
) -> Result<(), Failure> {
    let listeners = Listeners::bind(config).await?;
    let store = OpenStore::open(store, Arc::new(SystemClock::new())).await?;
    let late = LateRoutes::default();
    let readiness = Readiness::Bridge(late.clone(), store.clone());
    let mut serving = pin!(server::serve(listeners, late.router(), readiness, metrics, shutdown.clone()));
    let starting = async {
        let (auth, bridge) = bridge::start(config, settings, store).await?;
        let tools = Tools::calling(bridge.provider().clone());
        // Those that an enterprise vouches for were never at the provider.
        let upstream = settings.trusted_issuers.is_empty();
        late.set(bridge.router().merge(server::routes(config, auth, tools, upstream, shutdown)));
        Ok::<Bridge, Failure>(bridge)
    };
    let bridge = tokio::select! {
        started = starting => started?,
        () = &mut serving => return Ok(()),
    };
    announce(config);
    serving.await;
    drain(&bridge).await;
    Ok(())
}

/// What has begun is finished: a refresh that is given up half-way may cost the user a login.
async fn drain(bridge: &Bridge) {
    match timeout(DRAIN, bridge.shutdown()).await {
        Ok(0) => {}
        Ok(lost) => tracing::error!(lost, "grants could not be saved; their users have to log in again"),
        Err(_) => tracing::error!("the provider did not answer in time; a refresh may be lost"),
    }
}
