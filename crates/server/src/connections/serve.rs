//! [`serve`]: accepts connections and serves them, until told to stop.

use std::{convert::Infallible, error::Error, io, net::SocketAddr, time::Duration};

use http::{Request, Response};
use http_body::Body;
use tokio::{net::TcpListener, time::sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service;

use crate::{Limits, RequestBody, accept, descriptors, occasional::Occasional, serve_connection, slots::Slots};

/// How long to wait when a connection cannot be accepted, as when too many files are open.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts connections and serves them within `limits`, with what `service` makes for the address at the other end, until
/// `closing` is cancelled. Then no more are accepted, and it returns when the last one has ended.
///
/// Each call has limits of its own: an admin listener is not touched by what happens to a public one. Of the files that the
/// process may open, some are kept for everything else.
pub async fn serve<F, S, C>(listener: TcpListener, limits: Limits, closing: CancellationToken, service: F)
where
    F: Fn(SocketAddr) -> S,
    S: Service<Request<RequestBody>, Response = Response<C>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
    C: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let limits = limits.within(descriptors::affordable(limits.max));
    let slots = Slots::new(&limits);
    let failures = Occasional::new();
    let connections = TaskTracker::new();
    let accepting = async {
        loop {
            let total = slots.free().await;
            let (stream, peer) = next(&listener, &failures).await;
            let Some(slot) = slots.take(total, peer.ip()) else { continue };
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

/// The next connection; failures are logged, and tried again.
async fn next(listener: &TcpListener, failures: &Occasional) -> (tokio::net::TcpStream, SocketAddr) {
    loop {
        match accept(listener).await {
            Ok(accepted) => return accepted,
            // The client has gone again.
            Err(error) if is_of_client(&error) => {}
            Err(error) => {
                if let Some(count) = failures.due() {
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
