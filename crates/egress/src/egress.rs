//! [`Egress`]: the tower service for outbound requests.

use std::{
    error::Error,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use tokio::time::{Instant, timeout};
use tower::{ServiceExt, util::BoxCloneSyncService};
use tower_service::Service;

use crate::{EgressConfig, EgressConfigError, EgressError, EgressErrorKind, RequestKind, client::Client};

type BoxError = Box<dyn Error + Send + Sync>;

/// The tower service for outbound requests; see the [crate documentation](crate) for its rules.
///
/// Clones share connections. The response is complete: its body has been read when the future is ready. Every status is a
/// response, 3xx and 5xx included.
///
/// It does **not** inspect what it sends: the component that makes a request decides which host gets a token.
#[derive(Clone)]
pub struct Egress {
    service: BoxCloneSyncService<Request<Bytes>, Response<Bytes>, BoxError>,
    timeout: Duration,
}

impl Egress {
    /// Creates an HTTP client that is limited by `config`.
    ///
    /// CA certificates are the operating system's, or those in the file that `SSL_CERT_FILE` names.
    ///
    /// # Errors
    /// [`EgressConfigError`] if TLS cannot be set up.
    pub fn new(config: EgressConfig) -> Result<Self, EgressConfigError> {
        let timeout = config.timeout;
        let client = Client::new(config)?;
        let send = tower::service_fn(move |request| client.clone().send(request));
        Ok(Self::from_service(send).with_timeout(timeout))
    }

    /// Creates an egress that sends by `service`: a fake provider, or another HTTP client.
    ///
    /// Its errors are [transport](EgressErrorKind::Transport) errors unless they are [`EgressError`]s. Only
    /// the time limit of 10 s applies: `service` is responsible for destinations and size limits.
    pub fn from_service<S>(service: S) -> Self
    where
        S: Service<Request<Bytes>, Response = Response<Bytes>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
    {
        Self { service: BoxCloneSyncService::new(service.map_err(Into::into)), timeout: EgressConfig::new().timeout }
    }

    /// Calls `check` before each request: it may add to the request, such as a [`MaxBody`](crate::MaxBody), or reject it.
    #[must_use]
    pub fn with_check<F>(self, check: F) -> Self
    where
        F: Fn(&mut Request<Bytes>) -> Result<(), EgressError> + Clone + Send + Sync + 'static,
    {
        let service = self.service;
        let checked = tower::service_fn(move |mut request| {
            let (checked, service) = (check(&mut request), service.clone());
            async move {
                checked?;
                service.oneshot(request).await
            }
        });
        Self { service: BoxCloneSyncService::new(checked), timeout: self.timeout }
    }

    /// Sets the time limit of a request.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

impl Service<Request<Bytes>> for Egress {
    type Response = Response<Bytes>;
    type Error = EgressError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Bytes>, EgressError>> + Send>>;

    /// Always ready: the future waits for the readiness of the inner service.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), EgressError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let (service, limit) = (self.service.clone(), self.timeout);
        Box::pin(async move {
            let start = Instant::now();
            let uri = request.uri().clone();
            let kind = request.extensions().get::<RequestKind>().copied().unwrap_or_default();
            let result = match timeout(limit, service.oneshot(request)).await {
                Ok(Ok(response)) => Ok(response),
                Ok(Err(error)) => Err(match error.downcast::<EgressError>() {
                    Ok(error) => *error,
                    Err(other) => EgressError::new(EgressErrorKind::Transport, &uri).with_source(other),
                }),
                Err(_) => Err(EgressError::new(EgressErrorKind::Timeout, &uri)),
            };
            record(kind, start, &result);
            result
        })
    }
}

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Egress").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

/// Counts one request that began at `start`. The host is not a label: untrusted metadata may name any number of hosts.
fn record(kind: RequestKind, start: Instant, result: &Result<Response<Bytes>, EgressError>) {
    let outcome = match result {
        Ok(response) if response.status().is_server_error() => "server_error",
        Ok(response) if response.status().is_client_error() => "client_error",
        Ok(_) => "success",
        Err(error) => error.kind().as_str(),
    };
    metrics::counter!("portcullis_egress_requests_total", "purpose" => kind.as_str(), "outcome" => outcome)
        .increment(1);
    metrics::histogram!("portcullis_egress_seconds", "purpose" => kind.as_str()).record(start.elapsed());
}
