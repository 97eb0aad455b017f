//! [`serve`]: accepts connections and serves them until it is cancelled.

use std::{convert::Infallible, error::Error, io, net::SocketAddr, time::Duration};

use http::{Request, Response};
use http_body::Body;
use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service;

use super::{Limits, RequestBody, limits::LogRateLimit, serve_connection, slots::Slots};

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
