//! [`Shutdown`]: a clean shutdown on SIGTERM or SIGINT, within a bounded time.

use std::{future::Future, io, time::Duration};

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use futures_util::StreamExt;
use http::Method;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

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
pub(crate) async fn end_streams(State(shutdown): State<Shutdown>, request: Request, next: Next) -> Response {
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
