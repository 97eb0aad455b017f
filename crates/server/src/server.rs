//! [`Server`]: serves MCP routes behind authentication, from the start of the process to its end.

use std::{
    future::{Future, pending},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use axum::Router;
use metrics_exporter_prometheus::PrometheusHandle;
use portcullis::{bridge::Bridge, types::SystemClock};
use tokio::time::timeout;

use crate::admin::{self, Admin, Readiness};
use crate::config::{BridgeSettings, Config, IssuerSettings, ModeSettings, StoreSettings};
use crate::listeners::{Listeners, Shutdown};
use crate::routes::{LateRoutes, RouteContext, protect, with_optional_base};
use crate::serve_error::{Failure, ServeError};
use crate::{bridge, online_check, resource_server, store::OpenStore};

/// The time for refreshes that are in progress, and for revocations at the provider. One exchange takes at most 10 s.
const DRAIN: Duration = Duration::from_secs(15);

/// A server of MCP routes behind authentication.
#[derive(Debug)]
pub struct Server {
    config: Config,
    resource_name: Option<String>,
}

impl Server {
    /// Creates a server from `config`.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { resource_name: config.resource_name.clone(), config }
    }

    /// Sets the name of the MCP server for users, as the metadata and the pages of a bridge show it, unless the configuration names it.
    #[must_use]
    pub fn with_resource_name(self, name: &str) -> Self {
        Self { resource_name: self.resource_name.or_else(|| Some(name.to_owned())), ..self }
    }

    /// Serves the routes that `mcp` returns, until the process receives SIGTERM or SIGINT; then finishes the requests and
    /// refreshes that are in progress.
    ///
    /// The routes receive authenticated requests only; the resource is `/mcp`, also with a slash at its end. Other paths are 404: a
    /// fallback of the router is not used. `announce` is called when users can be
    /// authenticated. A bridge whose provider does not respond listens meanwhile, and responds 503.
    ///
    /// # Errors
    ///
    /// Returns an error if the configured addresses, store or provider cannot be used.
    pub async fn serve(
        &self,
        mcp: impl FnOnce(&RouteContext) -> Router,
        announce: impl FnOnce(&Config),
    ) -> Result<(), ServeError> {
        Ok(self.run(mcp, announce).await?)
    }

    async fn run(
        &self,
        mcp: impl FnOnce(&RouteContext) -> Router,
        announce: impl FnOnce(&Config),
    ) -> Result<(), Failure> {
        let shutdown = Shutdown::on_signal()?;
        // The recorder is installed before anything that counts is created.
        let metrics = admin::install_metrics()?;
        let context = RouteContext::new(&self.config, shutdown);
        match &self.config.mode {
            ModeSettings::ResourceServer(issuers) => {
                self.run_resource_server(issuers, mcp, announce, metrics, context).await
            }
            ModeSettings::Bridge(settings, store) => {
                self.run_bridge(settings, store, mcp, announce, metrics, context).await
            }
        }
    }

    async fn run_resource_server(
        &self,
        issuers: &[IssuerSettings],
        mcp: impl FnOnce(&RouteContext) -> Router,
        announce: impl FnOnce(&Config),
        metrics: PrometheusHandle,
        context: RouteContext,
    ) -> Result<(), Failure> {
        let (auth, keys) = resource_server::build(&self.config, issuers, self.resource_name.as_deref())?;
        let readiness = Readiness::Keys(keys.into());
        let listeners = Listeners::bind(&self.config).await?;
        // Fetches the keys before the first request. A failure is logged, and the fetch is repeated when a request needs the keys.
        tokio::spawn({
            let readiness = readiness.clone();
            async move { drop(readiness.missing().await) }
        });
        announce(&self.config);
        let admin = Admin { metrics, readiness, shutdown: context.shutdown.clone() };
        let shutdown = context.shutdown.clone();
        let routes = with_optional_base(protect(mcp(&context), auth, context), self.config.base_path());
        self.until_served(listeners.serve(routes, admin::routes(admin), shutdown)).await;
        Ok(())
    }

    async fn run_bridge(
        &self,
        settings: &BridgeSettings,
        store: &StoreSettings,
        mcp: impl FnOnce(&RouteContext) -> Router,
        announce: impl FnOnce(&Config),
        metrics: PrometheusHandle,
        context: RouteContext,
    ) -> Result<(), Failure> {
        let listeners = Listeners::bind(&self.config).await?;
        let store = OpenStore::open(store, Arc::new(SystemClock::new())).await?;
        let closing = store.clone();
        let late = LateRoutes::default();
        let readiness = Readiness::Bridge(late.clone(), store.clone());
        let admin = Admin { metrics, readiness, shutdown: context.shutdown.clone() };
        let routes = with_optional_base(late.router(), self.config.base_path());
        let mut serving = pin!(listeners.serve(routes, admin::routes(admin), context.shutdown.clone()));
        let starting = async {
            let (name, waiting) = (self.resource_name.as_deref(), |problem| late.set_problem(problem));
            let (auth, bridge) = bridge::build(&self.config, settings, store, name, waiting).await?;
            let context = context.with_provider(bridge.provider().clone());
            // Users of a trusted issuer have no grant at the provider.
            let context = if settings.trusted_issuers.is_empty() { context.with_required_upstream() } else { context };
            late.set(bridge.router().merge(protect(mcp(&context), auth, context)));
            Ok::<Bridge, Failure>(bridge)
        };
        let served = async {
            let bridge = tokio::select! {
                started = starting => started?,
                () = &mut serving => return Ok(()),
            };
            announce(&self.config);
            self.until_served(serving).await;
            drain(&bridge).await;
            Ok(())
        };
        let served = served.await;
        // However it ended: the database is whole in one file.
        closing.close().await;
        served
    }
}

impl Server {
    /// Waits for the end of `serving`. Meanwhile logs what of the configuration does not agree with metadata.
    async fn until_served(&self, serving: impl Future<Output = ()>) {
        let comparing = async {
            online_check::log_differences(&self.config).await;
            pending().await
        };
        tokio::select! {
            () = comparing => {}
            () = serving => {}
        }
    }
}

/// Waits for refreshes that are in progress: an abandoned refresh can cost the user a login.
async fn drain(bridge: &Bridge) {
    match timeout(DRAIN, bridge.shutdown()).await {
        Ok(0) => {}
        Ok(lost) => tracing::error!(lost, "grants could not be saved; their users have to log in again"),
        Err(_) => tracing::error!("the provider did not answer in time; a refresh may be lost"),
    }
}
