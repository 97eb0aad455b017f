//! Which endpoint is where.

use axum::{
    Router,
    routing::{MethodRouter, get, post},
};
use http::{Method, header};
use tower_http::cors::{AllowHeaders, Any, CorsLayer};

use super::{
    authorize::authorize,
    callback::callback,
    consent::consent,
    introspect::introspect,
    jwks::jwks,
    metadata::{metadata, openid_metadata},
    register::register,
    revoke::revoke,
    token::token,
};
use crate::{Bridge, inner::Inner, urls};

/// All endpoints.
///
/// Those that programs call are open to pages of every origin: they know no cookies. Those that browsers are sent to are not.
pub(crate) fn router(bridge: &Bridge) -> Router {
    let Inner { config, urls, .. } = bridge.inner();
    let mut endpoints = vec![
        (urls.path(urls::AUTHORIZE), get(authorize)),
        (urls.path(urls::CONSENT), post(consent)),
        (urls.path(urls::CALLBACK), get(callback)),
        (urls.path(urls::TOKEN), open(post(token))),
        (urls.path(urls::REVOKE), open(post(revoke))),
        (urls.path(urls::JWKS), open(get(jwks))),
        (urls.metadata(), open(get(metadata))),
    ];
    endpoints.extend(urls.openid_metadata().into_iter().map(|path| (path, open(get(openid_metadata)))));
    if config.registration.is_enabled {
        endpoints.push((urls.path(urls::REGISTER), open(post(register))));
    }
    if !config.introspection_clients.is_empty() {
        endpoints.push((urls.path(urls::INTROSPECT), post(introspect)));
    }
    // The path of an issuer means what it says: nothing in it is a pattern.
    let literal = |path: String| path.replace('{', "{{").replace('}', "}}");
    let router = Router::new().without_v07_checks();
    let router = endpoints.into_iter().fold(router, |router, (path, endpoint)| router.route(&literal(path), endpoint));
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
