//! [`serve_connection`]: serves one connection from its first byte to its end.

use std::{convert::Infallible, error::Error, pin::pin, sync::Arc, time::Duration};

use http::{Request, Response, header::CONNECTION};
use http_body::Body;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use portcullis::layer::drain::DrainLayer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tower::{Layer as _, Service, ServiceExt as _};

use super::{Limits, RequestBody, TimedBody, TrackedBody, activity::Activity, stream::Stream};

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
