//! Which endpoint is where.

use axum::Router;

use crate::Bridge;

/// All endpoints.
pub(crate) fn router(_: &Bridge) -> Router {
    Router::new()
}
