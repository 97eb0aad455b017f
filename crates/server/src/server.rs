//! The MCP server, the gate in front of it, and what belongs in front of the gate.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{Router, extract::ConnectInfo, middleware};
use connections::{Limits, RequestBody};
use http::{HeaderMap, HeaderName, Request};
use metrics_exporter_prometheus::PrometheusHandle;
use portcullis::{
    AuthConfig, AuthLayer, VerifyToken,
    core::{RequestSource, forwarded_address},
    layer::{RequireUpstreamLayer, scope::ToolScopesLayer},
};
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::{Layer, ServiceExt as _};

use crate::{
    admin::{self, Admin},
    config::Config,
    cors,
    origin::{self, Names},
    readiness::Readiness,
    sessions::UserSessions,
    shutdown::{self, Shutdown},
    tools::{self, Tools},
};

/// How many connections the admin listener may have: monitoring needs a few, and they are no part of those of clients.
const ADMIN_CONNECTIONS: usize = 64;

/// The sockets, before anything is served on them.
#[derive(Debug)]
pub(crate) struct Listeners {
    mcp: TcpListener,
    admin: Option<TcpListener>,
    limits: Limits,
    client_address_header: Option<HeaderName>,
}

impl Listeners {
    pub(crate) async fn bind(config: &Config) -> Result<Self, BindError> {
        let mcp = bind("listen", config.listen).await?;
        let admin = match config.admin_listen {
            Some(address) => Some(bind("admin_listen", address).await?),
            None => None,
        };
        Ok(Self { mcp, admin, limits: config.connections, client_address_header: config.client_address_header.clone() })
    }
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}; `{key}` or PORTCULLIS__{} changes it", key.to_ascii_uppercase())]
pub(crate) struct BindError {
    key: &'static str,
    address: SocketAddr,
    source: io::Error,
}

async fn bind(key: &'static str, address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|source| BindError { key, address, source })
}

/// One address has at most half of them.
fn admin_limits() -> Limits {
    Limits::default().with_max(ADMIN_CONNECTIONS).with_max_per_address(Some(ADMIN_CONNECTIONS / 2))
}

/// The address to limit by, if it is that of one client: not that of a proxy which this server has not been told of.
fn source_address(peer: IpAddr, headers: &HeaderMap, header: Option<&HeaderName>) -> Option<IpAddr> {
    if let Some(header) = header {
        return forwarded_address(headers, header);
    }
    let is_forwarded =
        ["forwarded", "x-forwarded-for", "x-real-ip", "via"].iter().any(|name| headers.contains_key(*name));
    let is_local = match peer.to_canonical() {
        IpAddr::V4(peer) => peer.is_loopback() || peer.is_private() || peer.is_link_local(),
        IpAddr::V6(peer) => peer.is_loopback() || peer.is_unique_local() || peer.is_unicast_link_local(),
    };
    (!is_forwarded && !is_local).then_some(peer)
}

/// Serves until the process is told to stop.
pub(crate) async fn serve(
    listeners: Listeners,
    routes: Router,
    readiness: Readiness,
    metrics: PrometheusHandle,
    shutdown: Shutdown,
) {
    if let Some(listener) = listeners.admin {
        let routes = admin::routes(Admin { metrics, readiness, shutdown: shutdown.clone() });
        // It goes on while the other one drains, so that monitoring sees that.
        let (limits, never) = (admin_limits(), CancellationToken::new());
        tokio::spawn(connections::serve(listener, limits, never, move |_| routes.clone()));
    }
    // Some limits are by address: of the bridge, and of the calls that unknown tokens cause.
    let header = listeners.client_address_header;
    let app = move |peer: SocketAddr| {
        let header = header.clone();
        routes.clone().map_request(move |mut request: Request<RequestBody>| {
            if let Some(address) = source_address(peer.ip(), request.headers(), header.as_ref()) {
                request.extensions_mut().insert(RequestSource::new(address));
            }
            request.extensions_mut().insert(ConnectInfo(peer));
            request
        })
    };
    shutdown.bound(connections::serve(listeners.mcp, listeners.limits, shutdown.closing.clone(), app)).await;
}

/// The MCP server, from the outside to the inside: CORS, Host and Origin, the gate, the scopes of tools, the tools.
///
/// If all users have a token of the provider (`upstream`), one is at hand before a tool is called.
pub(crate) fn routes<V>(
    config: &Config,
    auth: AuthConfig<V>,
    tools: Tools,
    upstream: bool,
    shutdown: Shutdown,
) -> Router
where
    V: VerifyToken<Future: Send> + Clone + Send + Sync + 'static,
{
    let names = Names::new(&config.resource);
    // Both wires on one path: 2025-11-25 with sessions, 2026-07-28 without; rmcp tells them apart by the request.
    let transport = StreamableHttpServerConfig::default()
        .with_allowed_hosts(names.hosts())
        .with_json_response(true)
        .with_cancellation_token(shutdown.cut.clone());
    let mcp = StreamableHttpService::new(move || Ok(tools.clone()), Arc::new(UserSessions::default()), transport);
    let routes =
        Router::new().route_service("/mcp", ToolScopesLayer::new(tools::scopes(&config.required_scopes)).layer(mcp));
    let routes = if upstream { routes.layer(RequireUpstreamLayer::new()) } else { routes };
    routes
        .layer(middleware::from_fn_with_state(shutdown, shutdown::end_streams))
        .layer(AuthLayer::new(auth))
        .layer(middleware::from_fn_with_state(names, origin::check))
        .layer(cors::layer())
}
