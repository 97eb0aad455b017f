//! Which endpoint is where.

use axum::{
    Router,
    routing::{MethodRouter, get, post},
};
use http::{Method, header};
use tower_http::cors::{AllowHeaders, Any, CorsLayer};

use super::{metadata::metadata, token::token};
use crate::{Bridge, urls};

/// All endpoints.
///
/// Those that programs call are open to pages of every origin: they know no cookies. Those that browsers are sent to are not.
pub(crate) fn router(bridge: &Bridge) -> Router {
    let at = &bridge.inner().urls;
    let mut router = Router::new().route(&at.path(urls::TOKEN), open(post(token)));
    for path in at.metadata() {
        router = router.route(&path, open(get(metadata)));
    }
    router.with_state(bridge.clone())
}

/// An endpoint for programs: they may run in any page of a browser.
fn open(endpoint: MethodRouter<Bridge>) -> MethodRouter<Bridge> {
    let cors = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST])
        // `*` would not cover `Authorization`.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([header::WWW_AUTHENTICATE, header::RETRY_AFTER]);
    endpoint.layer(cors)
}
