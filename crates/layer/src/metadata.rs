//! [`MetadataEndpoint`]: the metadata document of the resource (RFC 9728), served without authentication.

#[cfg(feature = "axum")]
use axum::{Router, body::Body, routing::any};
use bytes::Bytes;
use http::{
    HeaderValue, Method, Response, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CACHE_CONTROL,
        CONTENT_LENGTH, CONTENT_TYPE,
    },
};
use portcullis_oauth::protected_resource::{ProtectedResourceMetadata, well_known_paths};

#[cfg(feature = "axum")]
use crate::AuthConfig;

const PREFIX: &str = "/.well-known/";

/// The endpoint for GET, HEAD and OPTIONS at the well-known paths: path-inserted and root.
/// [RFC 9728 section 3](https://www.rfc-editor.org/rfc/rfc9728#section-3). It is open to every origin, and cacheable for an hour.
#[derive(Clone, Debug)]
pub(crate) struct MetadataEndpoint {
    paths: Vec<String>,
    document: Bytes,
}

impl MetadataEndpoint {
    pub(crate) fn new(metadata: &ProtectedResourceMetadata) -> Self {
        Self { paths: well_known_paths(metadata.resource()), document: metadata.to_json() }
    }

    /// Reports whether the document is at `path`. A terminating slash makes no difference: clients write `/mcp/` for `/mcp`.
    pub(crate) fn is_at(&self, path: &str) -> bool {
        is_well_known(path) && self.paths.iter().any(|known| known == path.strip_suffix('/').unwrap_or(path))
    }

    pub(crate) fn respond(&self, method: &Method) -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        match *method {
            Method::GET | Method::HEAD => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
                headers.insert(CONTENT_LENGTH, HeaderValue::from(self.document.len()));
                if method == Method::GET {
                    *response.body_mut() = self.document.clone();
                }
            }
            Method::OPTIONS => {
                headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD, OPTIONS"));
                headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("mcp-protocol-version"));
                *response.status_mut() = StatusCode::NO_CONTENT;
            }
            _ => {
                headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
                *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            }
        }
        response
    }
}

/// Reports whether `path` is that of a well-known document, of which clients ask for several without a token.
pub(crate) fn is_well_known(path: &str) -> bool {
    path.starts_with(PREFIX)
}

/// Returns routes that serve the metadata of the resource, for the root of a router.
///
/// They are needed if [`AuthLayer`](crate::AuthLayer) is nested below a path, because requests for
/// `/.well-known/oauth-protected-resource/…` do not reach it then: RFC 9728 inserts this prefix before the path.
///
/// ```
/// use axum::Router;
/// use portcullis_core::VerifyToken;
/// use portcullis_layer::{AuthConfig, AuthLayer, metadata_routes};
///
/// fn app<V>(mcp: Router, cfg: AuthConfig<V>) -> Router
/// where
///     V: VerifyToken<Future: Send> + Clone + Send + Sync + 'static,
/// {
///     Router::new().nest("/mcp", mcp.layer(AuthLayer::new(cfg.clone()))).merge(metadata_routes(&cfg))
/// }
/// ```
#[cfg(feature = "axum")]
pub fn metadata_routes<V, S>(config: &AuthConfig<V>) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    let endpoint = MetadataEndpoint::new(config.metadata());
    let with_slash = endpoint.paths.iter().map(|path| format!("{path}/"));
    endpoint.paths.iter().cloned().chain(with_slash).fold(Router::new(), |router, path| {
        let endpoint = endpoint.clone();
        router.route(&path, any(move |method: Method| async move { endpoint.respond(&method).map(Body::from) }))
    })
}
