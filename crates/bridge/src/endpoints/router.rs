//! The routes of the endpoints.

use axum::{
    Router,
    routing::{MethodRouter, get, post},
};
use http::{Method, header};
use tower_http::cors::{AllowHeaders, Any, CorsLayer};

use super::{
    login::{authorize, callback, consent},
    metadata::{jwks, metadata, openid_metadata},
    register::register,
    tokens::{introspect, revoke, token},
};
use crate::{
    Bridge,
    urls::{self, Urls},
};

/// Creates the router of all endpoints.
///
/// Endpoints that programs call allow every origin by CORS, because they use no cookies. Endpoints for browsers do not.
pub(crate) fn router(bridge: &Bridge) -> Router {
    let config = &bridge.state().config;
    let urls = Urls::new(&config.issuer);
    let mut endpoints = vec![
        (urls.path(urls::AUTHORIZE), get(authorize)),
        (urls.path(urls::CONSENT), post(consent)),
        (urls.path(urls::CALLBACK), get(callback)),
        (urls.path(urls::TOKEN), with_cors(post(token))),
        (urls.path(urls::REVOKE), with_cors(post(revoke))),
        (urls.path(urls::JWKS), with_cors(get(jwks))),
        (urls.metadata(), with_cors(get(metadata))),
    ];
    endpoints.extend(urls.openid_metadata().into_iter().map(|path| (path, with_cors(get(openid_metadata)))));
    if config.registration.is_enabled {
        endpoints.push((urls.path(urls::REGISTER), with_cors(post(register))));
    }
    if !config.introspection_clients.is_empty() {
        endpoints.push((urls.path(urls::INTROSPECT), post(introspect)));
    }
    // The path of an issuer is literal: braces in it are no pattern.
    let literal = |path: String| path.replace('{', "{{").replace('}', "}}");
    let router = Router::new().without_v07_checks();
    let router = endpoints.into_iter().fold(router, |router, (path, endpoint)| router.route(&literal(path), endpoint));
    router.with_state(bridge.clone())
}

/// Adds CORS headers, for clients that run in a browser.
fn with_cors(endpoint: MethodRouter<Bridge>) -> MethodRouter<Bridge> {
    let cors = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST])
        // `*` would not cover `Authorization`.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([header::WWW_AUTHENTICATE, header::RETRY_AFTER]);
    endpoint.layer(cors)
}
