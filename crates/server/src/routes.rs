//! The layers in front of the MCP routes: CORS, the check of `Host` and `Origin` ([`ServerNames`]), authentication.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Router, middleware, middleware::Next};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, Method, StatusCode, Uri, header};
use portcullis::{
    AuthConfig, AuthLayer, ResourceUri, VerifyToken, layer::RequireUpstreamLayer, upstream::ProviderClient,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tower_http::cors::{AllowHeaders, Any, CorsLayer};

use crate::config::Config;
use crate::listeners::{self, Shutdown};

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
        .layer(middleware::from_fn_with_state(context.shutdown, listeners::end_streams))
        .layer(AuthLayer::new(auth))
        .layer(middleware::from_fn_with_state(context.names, check_names))
        .layer(cors())
}

/// Returns the CORS layer of an MCP endpoint (TR-12). It is outside of authentication: a preflight request carries no token, and
/// error responses need these headers too.
///
/// Every origin is allowed here, because no request is authenticated by cookies; [`ServerNames`] decides which origins are served.
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

const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// The names by which clients may address a server: the host of its resource, and loopback at any port.
///
/// The server checks them itself. A reverse proxy that replaces `Host` must check them too, because the server behind it cannot.
#[derive(Clone, Debug)]
pub struct ServerNames {
    public: Option<Origin>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Origin {
    scheme: String,
    host: String,
    port: Option<u16>,
}

impl ServerNames {
    /// Returns the names of the server of `resource`.
    #[must_use]
    pub fn new(resource: &ResourceUri) -> Self {
        Self { public: Origin::parse(resource.origin()) }
    }

    /// Returns the host names.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = &str> {
        LOOPBACK.into_iter().chain(self.public.iter().map(|origin| &*origin.host))
    }

    /// Reports whether `Host` and, if it is present, `Origin` of a request name the server.
    ///
    /// A public origin must have the scheme and the port of the resource; a host may have any port.
    #[must_use]
    pub fn allow(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        // Over HTTP/2 the authority is part of the URI.
        let host = uri.authority().map(Authority::as_str).or_else(|| headers.get(header::HOST)?.to_str().ok());
        // Only browsers send `Origin`.
        let mut origins = headers.get_all(header::ORIGIN).iter();
        host.is_some_and(|host| self.allow_host(host))
            && origins.all(|origin| origin.to_str().is_ok_and(|origin| self.allow_origin(origin)))
    }

    fn allow_host(&self, host: &str) -> bool {
        authority(host).is_some_and(|(host, _)| self.hosts().any(|name| name == host))
    }

    fn allow_origin(&self, origin: &str) -> bool {
        Origin::parse(origin)
            .is_some_and(|origin| LOOPBACK.contains(&&*origin.host) || self.public.as_ref() == Some(&origin))
    }
}

impl Origin {
    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let default_port = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return None,
        };
        let (host, port) = authority(rest)?;
        Some(Self { scheme: scheme.to_owned(), host, port: port.or(Some(default_port)) })
    }
}

fn authority(text: &str) -> Option<(String, Option<u16>)> {
    let authority: Authority = text.parse().ok()?;
    (!text.contains('@')).then(|| (authority.host().to_ascii_lowercase(), authority.port_u16()))
}

/// Rejects a request with a foreign `Host` or `Origin` with 403. Metadata documents are public and exempt (TR-13).
async fn check_names(State(names): State<ServerNames>, request: Request, next: Next) -> Response {
    if request.uri().path().starts_with("/.well-known/") || names.allow(request.uri(), request.headers()) {
        return next.run(request).await;
    }
    tracing::warn!(
        host = ?request.headers().get(header::HOST),
        origin = ?request.headers().get(header::ORIGIN),
        "rejected a request with a foreign Host or Origin"
    );
    (StatusCode::FORBIDDEN, "Host or Origin is not allowed\n").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(host: &'static str, origin: Option<&'static str>) -> bool {
        let names = ServerNames::new(&ResourceUri::new("https://mcp.example.com/mcp").expect("resource"));
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().expect("header"));
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().expect("header"));
        }
        names.allow(&Uri::from_static("/mcp"), &headers)
    }

    #[test]
    fn tr_01_the_public_name_and_loopback_are_allowed() {
        for host in ["mcp.example.com", "MCP.example.com:443", "localhost:8000", "127.0.0.1", "[::1]:8000"] {
            assert!(allowed(host, None), "{host}");
        }
        for origin in
            ["https://mcp.example.com", "https://mcp.example.com:443", "http://localhost:6274", "http://[::1]:1"]
        {
            assert!(allowed("mcp.example.com", Some(origin)), "{origin}");
        }
    }

    #[test]
    fn tr_01_other_names_are_rejected() {
        for host in
            ["evil.example", "mcp.example.com.evil.example", "localhost@evil.example", "", "127.0.0.1.evil.example"]
        {
            assert!(!allowed(host, None), "{host}");
        }
        for origin in [
            "http://mcp.example.com",
            "https://mcp.example.com:8443",
            "https://evil.example",
            "null",
            "",
            "https://localhost@evil.example",
            "http://localhost.evil.example",
        ] {
            assert!(!allowed("mcp.example.com", Some(origin)), "{origin}");
        }
    }
}
