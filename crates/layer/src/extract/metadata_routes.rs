//! [`metadata_routes`]: for a layer that is nested where it never sees the well-known paths.

use axum::{Router, body::Body, routing::any};
use http::Method;

use crate::{AuthConfig, metadata::MetadataEndpoint};

/// Routes that serve the resource's metadata, to be merged at the root of a router whose [`AuthLayer`](crate::AuthLayer) is
/// nested below and so never sees `/.well-known/oauth-protected-resource/…` (RFC 9728 inserts it before the path).
///
/// ```
/// use axum::Router;
/// use portcullis_core::VerifyToken;
/// use portcullis_layer::{AuthConfig, AuthLayer, extract::metadata_routes};
///
/// fn app<V>(mcp: Router, cfg: AuthConfig<V>) -> Router
/// where
///     V: VerifyToken<Future: Send> + Clone + Send + Sync + 'static,
/// {
///     Router::new().nest("/mcp", mcp.layer(AuthLayer::new(cfg.clone()))).merge(metadata_routes(&cfg))
/// }
/// ```
pub fn metadata_routes<V, S>(config: &AuthConfig<V>) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    let endpoint = MetadataEndpoint::new(config.metadata());
    endpoint.paths().iter().fold(Router::new(), |router, path| {
        let endpoint = endpoint.clone();
        router.route(path, any(move |method: Method| async move { endpoint.respond(&method).map(Body::from) }))
    })
}
