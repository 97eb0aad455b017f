//! [`Egress`]: the service through which every outbound request goes.

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

use crate::{EgressConfig, EgressConfigError, EgressError, EgressErrorKind, RequestKind, client::Client, telemetry};

type BoxError = Box<dyn Error + Send + Sync>;

/// The service through which every outbound request goes; see the [crate documentation](crate) for its rules.
///
/// Clones share connections. The response is whole: its body has been read when the future is ready. Every status is a
/// response, 3xx and 5xx included.
///
/// It does **not** look at what it sends: whoever builds a request decides who gets a token.
#[derive(Clone)]
pub struct Egress {
    service: BoxCloneSyncService<Request<Bytes>, Response<Bytes>, BoxError>,
    timeout: Duration,
}

impl Egress {
    /// Out by HTTP, as `config` allows.
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

    /// Out by a service of your own: a fake provider, or an HTTP client that has its own ways.
    ///
    /// Its errors are [transport](EgressErrorKind::Transport) errors unless they are [`EgressError`]s. Of the guards only
    /// the time limit applies, 10 s: where requests may go and how much is read is the service's business.
    pub fn from_service<S>(service: S) -> Self
    where
        S: Service<Request<Bytes>, Response = Response<Bytes>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
    {
        Self { service: BoxCloneSyncService::new(service.map_err(Into::into)), timeout: EgressConfig::new().timeout }
    }

    /// With `check` before each request: it may add to the request, such as a [`MaxBody`](crate::MaxBody), or refuse it.
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

    /// With another limit for a whole exchange.
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

    /// Always ready: readiness of what is inside is awaited in the future.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), EgressError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let (service, limit) = (self.service.clone(), self.timeout);
        Box::pin(async move {
            let start = Instant::now();
            let uri = request.uri().clone();
            let purpose = request.extensions().get::<RequestKind>().copied().unwrap_or_default();
            let result = match timeout(limit, service.oneshot(request)).await {
                Ok(Ok(response)) => Ok(response),
                Ok(Err(error)) => Err(match error.downcast::<EgressError>() {
                    Ok(own) => *own,
                    Err(foreign) => EgressError::new(EgressErrorKind::Transport, &uri).with_source(foreign),
                }),
                Err(_) => Err(EgressError::new(EgressErrorKind::Timeout, &uri)),
            };
            telemetry::record(purpose, start, &result);
            result
        })
    }
}

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Egress").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}
