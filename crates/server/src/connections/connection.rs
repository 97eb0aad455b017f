//! [`serve_connection`]: one connection from its first byte to its end.

use std::{convert::Infallible, error::Error, pin::pin, sync::Arc, time::Duration};

use http::{Request, Response, header::CONNECTION};
use http_body::Body;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use portcullis_layer::drain::DrainLayer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tower::{Layer as _, Service, ServiceExt as _};

use crate::{Limits, RequestBody, TimedBody, TrackedBody, activity::Activity, stream::Stream};

/// The most memory that one HTTP/1 connection takes for what has come and has not been used, and the longest head.
const MAX_BUFFER: usize = 64 * 1024;
/// The longest head of a request over HTTP/2.
const MAX_HEADERS: u32 = 64 * 1024;
/// How often the other end of an HTTP/2 connection is asked whether it is there.
const PING_EVERY: Duration = Duration::from_secs(30);
/// How long its answer may take.
const PONG_WITHIN: Duration = Duration::from_secs(20);

/// Serves the requests that come over `io`, HTTP/1.1 or HTTP/2, within `limits`. When `closing` is cancelled the requests that
/// have begun are finished, and no more are taken.
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
        let (in_flight, activity) = (activity.begin(), Arc::clone(&activity));
        let responding = service.clone().oneshot(request.map(|body| TimedBody::new(body, limits.body_timeout)));
        async move {
            let response = responding.await?;
            if response.headers().get(CONNECTION).is_some_and(|value| value == "close") {
                activity.linger();
            }
            Ok::<_, Infallible>(response.map(|body| TrackedBody::new(body, in_flight)))
        }
    });
    let stream = TokioIo::new(Stream::new(io, Arc::clone(&activity), limits.write_timeout));
    let builder = builder();
    let mut connection = pin!(builder.serve_connection(stream, service));
    tokio::select! {
        served = connection.as_mut() => return ended(served),
        () = activity.overdue(&limits) => {}
        () = closing.cancelled() => {}
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        served = connection => ended(served),
        () = activity.finished() => {}
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().max_buf_size(MAX_BUFFER);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PONG_WITHIN)
        .max_header_list_size(MAX_HEADERS);
    builder
}

/// What clients do to their connections is no news.
fn ended(served: Result<(), Box<dyn Error + Send + Sync>>) {
    if let Err(error) = served {
        tracing::debug!(error, "a connection ended early");
    }
}
