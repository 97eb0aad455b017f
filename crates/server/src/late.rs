//! [`LateRoutes`]: routes that are not known when the server begins to listen.

use std::sync::{Arc, OnceLock};

use axum::{
    Router,
    extract::Request,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use tower::ServiceExt;

/// Routes that are not known when the server begins to listen. Until then every answer is 503.
#[derive(Clone, Debug, Default)]
pub(crate) struct LateRoutes(Arc<OnceLock<Router>>);

impl LateRoutes {
    /// From now on they are known.
    pub(crate) fn set(&self, routes: Router) {
        self.0.set(routes).expect("they are set once");
    }

    pub(crate) fn are_known(&self) -> bool {
        self.0.get().is_some()
    }

    pub(crate) fn router(&self) -> Router {
        let late = self.clone();
        Router::new().fallback(move |request| late.clone().answer(request))
    }

    async fn answer(self, request: Request) -> Response {
        match self.0.get() {
            // A router is always ready, and its errors are responses.
            Some(routes) => routes.clone().oneshot(request).await.into_response(),
            None => (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "5")], "starting\n").into_response(),
        }
    }
}
