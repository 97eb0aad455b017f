//! The layers in front of the MCP routes, and the paths of the routes.

use std::sync::{Arc, OnceLock};

use axum::response::{IntoResponse, Response};
use axum::{Router, extract::Request, middleware};
use http::{StatusCode, Uri, header, uri::PathAndQuery};
use portcullis::{AuthConfig, AuthLayer, VerifyToken, layer::RequireUpstreamLayer, upstream::ProviderClient};
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
    provider: Option<ProviderClient>,
    pub(crate) shutdown: Shutdown,
    required_upstream: bool,
}

impl RouteContext {
    pub(crate) fn new(config: &Config, shutdown: Shutdown) -> Self {
        let names = ServerNames::new(&config.resource)
            .with_hosts(config.allowed_hosts.iter().map(String::as_str))
            .with_origins(config.allowed_origins.iter().map(String::as_str));
        Self { names, base: config.base_path().to_owned(), provider: None, shutdown, required_upstream: false }
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

/// Puts `mcp` behind, from the outside to the inside: CORS, the check of `Host` and `Origin`, authentication.
pub(crate) fn protect<V>(mcp: Router, auth: AuthConfig<V>, context: RouteContext) -> Router
where
    V: VerifyToken<Future: Send> + Clone + Send + Sync + 'static,
{
    let routes = if context.required_upstream { mcp.layer(RequireUpstreamLayer::new()) } else { mcp };
    let routes = match &*context.base {
        "" => routes,
        // The path is literal: braces in it are no pattern.
        base => Router::new().without_v07_checks().nest(&base.replace('{', "{{").replace('}', "}}"), routes),
    };
    let routes = routes
        .layer(middleware::from_fn_with_state(context.shutdown, listeners::end_streams))
        .layer(AuthLayer::new(auth));
    context.names.protect(routes)
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
pub(crate) struct LateRoutes(Arc<OnceLock<Router>>);

impl LateRoutes {
    pub(crate) fn set(&self, routes: Router) {
        self.0.set(routes).expect("the routes are set once");
    }

    pub(crate) fn are_set(&self) -> bool {
        self.0.get().is_some()
    }

    pub(crate) fn router(&self) -> Router {
        let late = self.clone();
        Router::new().fallback(move |request| late.clone().respond(request))
    }

    async fn respond(self, request: Request) -> Response {
        match self.0.get() {
            // A router is always ready, and its error type is `Infallible`.
            Some(routes) => routes.clone().oneshot(request).await.into_response(),
            None => (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "5")], "starting\n").into_response(),
        }
    }
}
