//! Cross-origin requests: what a browser needs to be an MCP client (TR-12).

use std::time::Duration;

use http::{HeaderName, Method, header};
use tower_http::cors::{AllowHeaders, Any, CorsLayer};

/// CORS for an MCP endpoint. It belongs outside of the gate: a preflight request carries no token, and refusals need
/// these headers too.
///
/// Any origin may ask, because nothing here is authenticated by cookies; which origins are answered is decided by
/// [`origin`](crate::origin). Headers are mirrored because `Mcp-Param-*` is open, and `*` would not cover
/// `Authorization`. A client can read the challenge only if `WWW-Authenticate` is exposed.
pub(crate) fn layer() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([header::WWW_AUTHENTICATE, HeaderName::from_static("mcp-session-id")])
        .max_age(Duration::from_secs(3600))
}
