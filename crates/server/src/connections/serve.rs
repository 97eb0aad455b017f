//! [`serve`] accepts connections until it is cancelled; [`serve_connection`] serves one from its first byte to its end.

use std::{convert::Infallible, error::Error, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use http::{Request, Response, header::CONNECTION};
use http_body::Body;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use portcullis::layer::drain::DrainLayer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::{Layer as _, Service, ServiceExt as _};

use super::activity::{Activity, RequestBody, Stream, TimedBody, TrackedBody};
use super::limits::{Limits, LogRateLimit, Slots};

/// The pause after a connection could not be accepted, for example because too many files are open.
const PAUSE: Duration = Duration::from_millis(100);

/// The number of file descriptors that are reserved for everything except client connections: the admin listener, stores,
/// connections to providers, files.
const RESERVE: usize = 256;

/// Accepts connections and serves each within `limits`, by the service that `service` returns for the address of the client.
///
/// When `closing` is cancelled, it accepts no further connections and returns after the last connection has ended. Each call has
/// its own limits: the connections of a public listener do not count against those of an admin listener. If the process may not
/// open enough files, the limits are lowered.
pub async fn serve<F, S, C>(listener: TcpListener, limits: Limits, closing: CancellationToken, service: F)
where
    F: Fn(SocketAddr) -> S,
    S: Service<Request<RequestBody>, Response = Response<C>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
    C: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let limits = limits.within(affordable(limits.max));
    let slots = Slots::new(&limits);
    let failures = LogRateLimit::new();
    let connections = TaskTracker::new();
    let accepting = async {
        loop {
            let total = slots.acquire_total().await;
            let (stream, peer) = next(&listener, &failures).await;
            let Some(slot) = slots.acquire(total, peer.ip()) else { continue };
            let serving = serve_connection(stream, service(peer), limits, closing.clone());
            connections.spawn(async move {
                serving.await;
                drop(slot);
            });
        }
    };
    tokio::select! {
        biased;
        () = closing.cancelled() => {}
        () = accepting => {}
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// Accepts one connection and sets `TCP_NODELAY`.
///
/// Without this option the second part of a response, such as the first event of a stream, waits until the client acknowledges the
/// first part, which takes 40 ms.
///
/// # Errors
///
/// Returns the error of accepting. A failure to set the option is logged: the connection is then already closed, which
/// serving it will show.
pub async fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, peer) = listener.accept().await?;
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set on an accepted connection");
    }
    Ok((stream, peer))
}

/// Accepts the next connection; logs failures and tries again.
async fn next(listener: &TcpListener, failures: &LogRateLimit) -> (TcpStream, SocketAddr) {
    loop {
        match accept(listener).await {
            Ok(accepted) => return accepted,
            // The client has closed the connection before it was accepted.
            Err(error) if is_of_client(&error) => {}
            Err(error) => {
                if let Some(count) = failures.record() {
                    tracing::error!(%error, count, "connections cannot be accepted");
                }
                sleep(PAUSE).await;
            }
        }
    }
}

fn is_of_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

/// Raises the process's limit of open files as far as permitted, and returns the new limit; `usize::MAX` if the platform has no
/// limit or it cannot be read.
pub fn raise_descriptor_limit() -> usize {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => usize::try_from(limit).unwrap_or(usize::MAX),
        Err(error) => {
            tracing::warn!(%error, "the limit of open files cannot be read or raised (ulimit -n)");
            usize::MAX
        }
    }
}

/// Returns how many of `max` connections the limit of open files permits.
fn affordable(max: usize) -> usize {
    let limit = raise_descriptor_limit();
    // Under a very low limit, half of it.
    let room = limit.saturating_sub(RESERVE).max(limit / 2);
    if room < max {
        tracing::warn!(
            max,
            room,
            "fewer connections than configured: the limit of open files (ulimit -n) permits no more"
        );
    }
    room.min(max)
}

/// The size of the read buffer of an HTTP/1 connection, and so the longest request head.
const MAX_BUFFER: usize = 64 * 1024;
/// The longest request head over HTTP/2.
const MAX_HEADERS: u32 = 64 * 1024;
/// The interval of HTTP/2 pings.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// The time that the answer to a ping may take.
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Serves the requests of one connection, HTTP/1.1 or HTTP/2, within `limits`.
///
/// When `closing` is cancelled, the connection finishes the requests that have begun and accepts no further requests.
pub async fn serve_connection<I, S, C>(io: I, service: S, limits: Limits, closing: CancellationToken)
where
    I: AsyncRead + AsyncWrite + Unpin + 'static,
    S: Service<Request<RequestBody>, Response = Response<C>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    C: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let activity = Arc::new(Activity::new());
    let service = DrainLayer::new().layer(service);
    let service = service_fn(|request: Request<Incoming>| {
        let (active, activity) = (activity.begin(), Arc::clone(&activity));
        let responding = service.clone().oneshot(request.map(|body| TimedBody::new(body, limits.body_timeout)));
        async move {
            let response = responding.await?;
            // `DrainLayer` sets this header when the rest of the request body is too long to be drained.
            if response.headers().get(CONNECTION).is_some_and(|value| value == "close") {
                activity.set_lingering();
            }
            Ok::<_, Infallible>(response.map(|body| TrackedBody::new(body, active)))
        }
    });
    let stream = TokioIo::new(Stream::new(io, Arc::clone(&activity), limits.write_timeout));
    let builder = builder();
    let mut connection = pin!(builder.serve_connection(stream, service));
    tokio::select! {
        served = connection.as_mut() => return log_error(served),
        () = activity.idle(&limits) => {}
        () = closing.cancelled() => {}
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        served = connection => log_error(served),
        () = activity.finished() => {}
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().max_buf_size(MAX_BUFFER);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_header_list_size(MAX_HEADERS);
    builder
}

/// Logs at debug level only: clients can cause these errors at will.
fn log_error(served: Result<(), Box<dyn Error + Send + Sync>>) {
    if let Err(error) = served {
        tracing::debug!(error, "a connection ended early");
    }
}
