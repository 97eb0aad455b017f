//! tower-http: one static token, compared as a string.

use axum::{Router, body::Body};
use tower_http::validate_request::ValidateRequestHeaderLayer;

use crate::mcp;

/// Returns a router behind the peer.
#[expect(deprecated, reason = "too basic for real applications, it says: the floor to be compared with")]
pub(crate) fn router(token: &str) -> Router {
    mcp::router()
        .layer(ValidateRequestHeaderLayer::<tower_http::auth::require_authorization::Bearer<Body>>::bearer(token))
}
