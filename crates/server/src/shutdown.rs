//! Stopping: on SIGTERM or SIGINT requests finish, streams that only listen are closed, and it takes a bounded time.

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

/// How long requests may take to finish.
const GRACE: Duration = Duration::from_secs(5);
/// How long connections may take to close once their streams have been cut.
const LAST: Duration = Duration::from_secs(1);

/// The phases of stopping.
#[derive(Clone, Debug)]
pub(crate) struct Shutdown {
    /// No new connections; streams that only listen end.
    pub(crate) closing: CancellationToken,
    /// Every stream ends.
    pub(crate) cut: CancellationToken,
}

impl Shutdown {
    /// Listens for the signals from now on.
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

    /// Runs `server` to its end, or to the end of our patience with it.
    pub(crate) async fn bound(&self, server: impl Future<Output = ()>) {
        let patience = async {
            self.closing.cancelled().await;
            sleep(GRACE).await;
            self.cut.cancel();
            sleep(LAST).await;
        };
        tokio::select! {
            () = server => {}
            () = patience => tracing::warn!("some connections did not close in time"),
        }
    }
}

/// Ends the answer to a GET, which is a stream that waits for what may never come, when the server stops.
pub(crate) async fn end_streams(State(shutdown): State<Shutdown>, request: Request, next: Next) -> Response {
    let listens = request.method() == Method::GET;
    let response = next.run(request).await;
    if !listens {
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
        // Without a handler there is no signal; the process ends as the operating system sees fit.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}
