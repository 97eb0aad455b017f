//! For whoever runs the server: `/healthz`, `/readyz` and `/metrics`, on an address of their own.

use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{StatusCode, header};
use metrics_exporter_prometheus::PrometheusHandle;

use crate::{readiness::Readiness, shutdown::Shutdown};

/// What the routes show.
#[derive(Clone, Debug)]
pub(crate) struct Admin {
    pub(crate) metrics: PrometheusHandle,
    pub(crate) readiness: Readiness,
    pub(crate) shutdown: Shutdown,
}

/// The routes.
pub(crate) fn routes(admin: Admin) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(admin)
}

/// Ready once users could get in, until the server stops.
async fn ready(State(admin): State<Admin>) -> Response {
    if admin.shutdown.closing.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response();
    }
    let waiting = admin.readiness.waiting().await;
    if waiting.is_empty() {
        return "ready\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, waiting.join("\n") + "\n").into_response()
}

async fn metrics(State(admin): State<Admin>) -> Response {
    // The exporter asks for this now and then, and a scrape is now and then.
    admin.metrics.run_upkeep();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], admin.metrics.render()).into_response()
}
