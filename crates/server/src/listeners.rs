//! [`Listeners`]: the sockets of the server; [`Shutdown`]: a clean shutdown on SIGTERM or SIGINT, within a bounded time.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Once};
use std::{io, time::Duration};

use axum::extract::{ConnectInfo, State};
use axum::{Router, body::Body, middleware::Next, response::Response};
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderName, Method, Request};
use portcullis::types::{RequestSource, forwarded_address};
use tokio::{net::TcpListener, time::sleep};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::config::Config;
use crate::connections::{self, Limits, RequestBody};

/// The number of connections of the admin listener. They do not count against those of clients, and monitoring needs few.
const ADMIN_CONNECTIONS: usize = 64;

/// The sockets of the server, bound and not yet served.
#[derive(Debug)]
pub(crate) struct Listeners {
    mcp: TcpListener,
    admin: Option<TcpListener>,
    limits: Limits,
    client_address_header: Option<HeaderName>,
}

/// An address that the server cannot listen on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}; `{key}` or PORTCULLIS__{} changes it", key.to_ascii_uppercase())]
pub(crate) struct BindError {
    key: &'static str,
    address: SocketAddr,
    source: io::Error,
}

impl Listeners {
    /// Binds the addresses of `config`.
    pub(crate) async fn bind(config: &Config) -> Result<Self, BindError> {
        let mcp = bind("listen", config.listen).await?;
        let admin = match config.admin_listen {
            Some(address) => Some(bind("admin_listen", address).await?),
            None => None,
        };
        Ok(Self { mcp, admin, limits: config.connections, client_address_header: config.client_address_header.clone() })
    }

    /// Serves `routes` to clients, and `admin` on the admin listener, until the process is stopped.
    pub(crate) async fn serve(self, routes: Router, admin: Router, shutdown: Shutdown) {
        if let Some(listener) = self.admin {
            // The admin listener is not closed while the other drains, so that monitoring can observe the shutdown.
            let (limits, never) = (admin_limits(), CancellationToken::new());
            tokio::spawn(connections::serve(listener, limits, never, move |_| admin.clone()));
        }
        let header = self.client_address_header;
        let warned = Arc::new(Once::new());
        let app = move |peer: SocketAddr| {
            let (header, warned) = (header.clone(), Arc::clone(&warned));
            routes.clone().map_request(move |mut request: Request<RequestBody>| {
                if header.is_none() {
                    warn_of_proxy(&warned, peer, request.headers());
                }
                // The bridge, and the verification of unknown tokens, are limited per client address.
                let address = client_address(peer.ip(), request.headers(), header.as_ref());
                if let Some(address) = address {
                    request.extensions_mut().insert(RequestSource::new(address));
                }
                // The bridge reads the configured header itself, and otherwise takes this address for that of the client.
                if header.is_some() || address.is_some() {
                    request.extensions_mut().insert(ConnectInfo(peer));
                }
                request
            })
        };
        shutdown.bound(connections::serve(self.mcp, self.limits, shutdown.closing.clone(), app)).await;
    }
}

async fn bind(key: &'static str, address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|source| BindError { key, address, source })
}

/// Returns the limits of the admin listener, where one address may have at most half of the connections.
fn admin_limits() -> Limits {
    Limits::default().with_max(ADMIN_CONNECTIONS).with_max_per_address(Some(ADMIN_CONNECTIONS / 2))
}

/// Logs once that a proxy seems to be in front of this server, whose configuration does not name the header of client addresses.
fn warn_of_proxy(warned: &Once, peer: SocketAddr, headers: &HeaderMap) {
    let Some(header) = ["x-forwarded-for", "forwarded"].into_iter().find(|name| headers.contains_key(*name)) else {
        return;
    };
    warned.call_once(|| {
        tracing::warn!(
            header,
            %peer,
            "a request has come through a proxy, and `client_address_header` is not set: limits per client address do not apply to such \
             requests, and `connections.max_per_address` counts the connections of the proxy; set the key to the header that the proxy \
             itself sets"
        );
    });
}

/// Returns the address of the client, for limits per address.
///
/// Without a configured `header`, returns `None` if the request seems to come from a proxy: many clients would then share its
/// address, and with it one limit.
fn client_address(peer: IpAddr, headers: &HeaderMap, header: Option<&HeaderName>) -> Option<IpAddr> {
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

/// The time in which requests may finish.
const GRACE: Duration = Duration::from_secs(5);
/// The time in which connections may close after their streams have been ended.
const LAST: Duration = Duration::from_secs(1);

/// The phases of a shutdown.
#[derive(Clone, Debug)]
pub(crate) struct Shutdown {
    /// Cancelled first: the server accepts no new connections and ends the streams of GET requests.
    pub(crate) closing: CancellationToken,
    /// Cancelled after the time for requests to finish: every stream ends.
    pub(crate) cut: CancellationToken,
}

impl Shutdown {
    /// Installs the signal handlers.
    pub(crate) fn on_signal() -> io::Result<Self> {
        let shutdown = Self { closing: CancellationToken::new(), cut: CancellationToken::new() };
        let (signal, closing) = (signal()?, shutdown.closing.clone());
        tokio::spawn(async move {
            signal.await;
            tracing::info!("stopping");
            closing.cancel();
        });
        Ok(shutdown)
    }

    /// Runs `server` until it ends, and for a bounded time after the first signal.
    pub(crate) async fn bound(&self, server: impl Future<Output = ()>) {
        let deadline = async {
            self.closing.cancelled().await;
            sleep(GRACE).await;
            self.cut.cancel();
            sleep(LAST).await;
        };
        tokio::select! {
            () = server => {}
            () = deadline => tracing::warn!("some connections did not close in time"),
        }
    }
}

/// Ends the response to a GET request when the server stops: such a stream waits for messages that may never come.
pub(crate) async fn end_streams(State(shutdown): State<Shutdown>, request: Request<Body>, next: Next) -> Response {
    let is_stream = request.method() == Method::GET;
    let response = next.run(request).await;
    if !is_stream {
        return response;
    }
    let closing = shutdown.closing.cancelled_owned();
    response.map(|body| Body::from_stream(body.into_data_stream().take_until(closing)))
}

#[cfg(unix)]
fn signal() -> io::Result<impl Future<Output = ()> + Send> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

#[cfg(not(unix))]
fn signal() -> io::Result<impl Future<Output = ()> + Send> {
    Ok(async {
        // Without a handler, the operating system ends the process at the signal.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}
