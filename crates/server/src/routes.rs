//! The layers in front of the MCP routes.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{
    Router,
    extract::Request,
    middleware,
    response::{IntoResponse, Response},
};
use http::{HeaderName, Method, StatusCode, header};
use portcullis::{AuthConfig, AuthLayer, VerifyToken, layer::RequireUpstreamLayer, upstream::ProviderClient};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tower_http::cors::{AllowHeaders, Any, CorsLayer};

use crate::{
    config::Config,
    origin::{self, ServerNames},
    shutdown::{self, Shutdown},
};

/// What the MCP routes of a [`Server`](crate::Server) may need of it.
#[derive(Clone, Debug)]
pub struct RouteContext {
    names: ServerNames,
    provider: Option<ProviderClient>,
    pub(crate) shutdown: Shutdown,
    required_upstream: bool,
}

impl RouteContext {
    pub(crate) fn new(config: &Config, shutdown: Shutdown) -> Self {
        Self { names: ServerNames::new(&config.resource), provider: None, shutdown, required_upstream: false }
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
    routes
        .layer(middleware::from_fn_with_state(context.shutdown, shutdown::end_streams))
        .layer(AuthLayer::new(auth))
        .layer(middleware::from_fn_with_state(context.names, origin::check))
        .layer(cors())
}

/// Returns the CORS layer of an MCP endpoint (TR-12). It is outside of authentication: a preflight request carries no token, and
/// error responses need these headers too.
///
/// Every origin is allowed here, because no request is authenticated by cookies; [`origin`] decides which origins are served.
/// The requested headers are mirrored because `Mcp-Param-*` is open, and `*` would not cover `Authorization`. A client can read
/// the challenge only if `WWW-Authenticate` is exposed.
fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([header::WWW_AUTHENTICATE, HeaderName::from_static("mcp-session-id")])
        .max_age(Duration::from_secs(3600))
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
