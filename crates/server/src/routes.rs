//! The layers in front of the MCP routes, and the paths of the routes.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Router, extract::Request, middleware};
use http::{StatusCode, Uri, header, uri::PathAndQuery};
use portcullis::oauth::protected_resource::well_known_paths;
use portcullis::upstream::ProviderClient;
use portcullis::{AuthConfig, AuthLayer, ResourceUri, VerifyToken, layer::RequireUpstreamLayer};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::config::Config;
use crate::listeners::{self, Shutdown};
use crate::server_names::ServerNames;

/// What the MCP routes of a [`Server`](crate::Server) may need of it.
#[derive(Clone, Debug)]
pub struct RouteContext {
    names: ServerNames,
    base: String,
    resource: ResourceUri,
    provider: Option<ProviderClient>,
    pub(crate) shutdown: Shutdown,
    required_upstream: bool,
}

impl RouteContext {
    pub(crate) fn new(config: &Config, shutdown: Shutdown) -> Self {
        let names = ServerNames::new(&config.resource)
            .with_hosts(config.allowed_hosts.iter().map(String::as_str))
            .with_origins(config.allowed_origins.iter().map(String::as_str));
        let (base, resource) = (config.base_path().to_owned(), config.resource.clone());
        Self { names, base, resource, provider: None, shutdown, required_upstream: false }
    }

    pub(crate) fn with_provider(self, provider: ProviderClient) -> Self {
        Self { provider: Some(provider), ..self }
    }

    /// Refreshes the upstream token of each user before the MCP routes are called. Every user must have one.
    pub(crate) fn with_required_upstream(self) -> Self {
        Self { required_upstream: true, ..self }
    }

    /// Returns the host names by which clients may address the server, for MCP libraries that check `Host` themselves.
    pub fn allowed_hosts(&self) -> impl Iterator<Item = &str> {
        self.names.hosts()
    }

    /// Returns the client of the provider at which users have upstream tokens; `None` in resource-server mode.
    #[must_use]
    pub const fn provider(&self) -> Option<&ProviderClient> {
        self.provider.as_ref()
    }

    /// Returns a token that is cancelled when the server stops and requests have had time to finish. Open streams must then end.
    #[must_use]
    pub fn cancellation(&self) -> CancellationToken {
        self.shutdown.cut.clone()
    }
}

/// Puts the routes of `mcp` behind, from the outside to the inside: CORS, the check of `Host` and `Origin`, authentication.
///
/// A path without a route gets 404 and no challenge, because a client would log in for it in vain. So a fallback of `mcp` is not used.
pub(crate) fn protect<V>(mcp: Router, auth: AuthConfig<V>, context: RouteContext) -> Router
where
    V: VerifyToken<Future: Send> + Clone + Send + Sync + 'static,
{
    let routes = if context.required_upstream { mcp.layer(RequireUpstreamLayer::new()) } else { mcp };
    let routes = routes.fallback(not_found);
    let routes = match &*context.base {
        "" => routes.without_v07_checks(),
        base => Router::new().without_v07_checks().nest(&literal(base), routes),
    };
    // The authentication layer responds with the metadata itself.
    let metadata = well_known_paths(&context.resource);
    let routes = metadata.iter().fold(routes, |routes, path| routes.route(&literal(path), any(not_found)));
    let routes = routes
        .route_layer(middleware::from_fn_with_state(context.shutdown, listeners::end_streams))
        .route_layer(AuthLayer::new(auth))
        .fallback(not_found);
    let resource = context.resource;
    let without_slash = move |request| without_slash(request, &resource);
    Router::new().fallback_service(context.names.protect(routes).map_request(without_slash))
}

async fn not_found() -> StatusCode {
    StatusCode::NOT_FOUND
}

/// Returns `path` as the pattern of a route: braces in it are no parameters.
fn literal(path: &str) -> String {
    path.replace('{', "{{").replace('}', "}}")
}

/// Removes the slash that some clients append to the path of `resource`.
fn without_slash(mut request: Request, resource: &ResourceUri) -> Request {
    let path = resource.path_and_query().split('?').next().unwrap_or_default();
    if path.is_empty() || request.uri().path().strip_suffix('/') != Some(path) {
        return request;
    }
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = format!("{path}{query}").parse().ok();
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    request
}

/// Serves `routes`, whose paths begin with `base`, also at the paths without it: a proxy may remove the path of `public_url`.
pub(crate) fn with_optional_base(routes: Router, base: &str) -> Router {
    if base.is_empty() {
        return routes;
    }
    let base = base.to_owned();
    Router::new().fallback_service(routes.map_request(move |mut request: Request| {
        if let Some(uri) = below(&base, request.uri()) {
            *request.uri_mut() = uri;
        }
        request
    }))
}

/// Returns `uri` with `base` before its path; `None` if the path is below `base` or is the well-known path of a host.
fn below(base: &str, uri: &Uri) -> Option<Uri> {
    let path = uri.path();
    let is_below = path.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if is_below || path.starts_with("/.well-known/") {
        return None;
    }
    let mut parts = uri.clone().into_parts();
    let path_and_query: PathAndQuery = format!("{base}{}", parts.path_and_query?).parse().ok()?;
    parts.path_and_query = Some(path_and_query);
    Uri::from_parts(parts).ok()
}

/// Routes that are set after the server begins to listen. Before that, every response is 503.
#[derive(Clone, Debug, Default)]
pub(crate) struct LateRoutes(Arc<Late>);

#[derive(Debug, Default)]
struct Late {
    routes: OnceLock<Router>,
    /// Why there are no routes yet; `None` before the first attempt has failed.
    problem: Mutex<Option<String>>,
}

impl LateRoutes {
    pub(crate) fn set(&self, routes: Router) {
        self.0.routes.set(routes).expect("the routes are set once");
    }

    /// Sets why there are no routes yet.
    pub(crate) fn set_problem(&self, problem: String) {
        *self.0.problem.lock().unwrap_or_else(PoisonError::into_inner) = Some(problem);
    }

    /// Returns why there are no routes yet; `None` if there are.
    pub(crate) fn problem(&self) -> Option<String> {
        let problem = || self.0.problem.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.0.routes.get().is_none().then(|| problem().unwrap_or_else(|| "it is being fetched".to_owned()))
    }

    pub(crate) fn router(&self) -> Router {
        let late = self.clone();
        Router::new().fallback(move |request| late.clone().respond(request))
    }

    async fn respond(self, request: Request) -> Response {
        match self.0.routes.get() {
            // A router is always ready, and its error type is `Infallible`.
            Some(routes) => routes.clone().oneshot(request).await.into_response(),
            None => (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "5")], "starting\n").into_response(),
        }
    }
}
