//! The admin listener: `/healthz`, `/readyz` and `/metrics`.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use axum::{Router, extract::State, routing::get};
use futures_util::future::join_all;
use http::{StatusCode, header};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use portcullis::{Issuer, store::StoreErrorKind, types::error_chain, verify::RemoteKeySet};

use crate::{listeners::Shutdown, routes::LateRoutes, store::OpenStore};

/// Histogram buckets in seconds, from a cache hit to a provider that does not respond.
const BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 10.0];

/// The state of the admin routes.
#[derive(Clone, Debug)]
pub(crate) struct Admin {
    pub(crate) metrics: PrometheusHandle,
    pub(crate) readiness: Readiness,
    pub(crate) shutdown: Shutdown,
}

/// What the server needs before it can authenticate users.
#[derive(Clone, Debug)]
pub(crate) enum Readiness {
    /// The keys of every issuer.
    Keys(Arc<[(Issuer, RemoteKeySet)]>),
    /// The provider's metadata, and a store that responds.
    Bridge(LateRoutes, OpenStore),
}

/// Installs the recorder of the process's metrics. Only what is measured afterwards is recorded.
pub(crate) fn install_metrics() -> Result<PrometheusHandle, BuildError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &BUCKETS)?
        .install_recorder()
}

/// Returns the admin routes.
pub(crate) fn routes(admin: Admin) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(admin)
}

/// Responds 200 while the server can authenticate users and is not stopping.
async fn ready(State(admin): State<Admin>) -> Response {
    if admin.shutdown.closing.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response();
    }
    let missing = admin.readiness.missing().await;
    if missing.is_empty() {
        return "ready\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, missing.join("\n") + "\n").into_response()
}

async fn metrics(State(admin): State<Admin>) -> Response {
    // The exporter needs its upkeep at intervals, and scrapes come at intervals.
    admin.metrics.run_upkeep();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], admin.metrics.render()).into_response()
}

impl Readiness {
    /// Tries to get what is missing, and returns what is still missing, one line each.
    pub(crate) async fn missing(&self) -> Vec<String> {
        match self {
            Self::Keys(key_sets) => {
                let tries = key_sets.iter().map(async |(issuer, keys)| {
                    let error = keys.prefetch().await.err()?;
                    Some(format!("no keys of {issuer}: {}", error_chain(&error)))
                });
                join_all(tries).await.into_iter().flatten().collect()
            }
            Self::Bridge(routes, store) => {
                let provider = routes.problem().map(|problem| format!("no metadata of the provider: {problem}"));
                let store = store.check().await.err().map(|error| match error.kind() {
                    StoreErrorKind::WrongKeys => {
                        format!("{}: restart with the keys of `store.encryption_keys_file`", error_chain(&error))
                    }
                    _ => error_chain(&error),
                });
                provider.into_iter().chain(store).collect()
            }
        }
    }
}
