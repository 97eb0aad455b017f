//! [`Egress`]: the tower service for outbound requests, and its HTTP client behind the guard.

use std::{
    error::Error,
    fmt,
    future::Future,
    iter,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, Response, Uri, header::ACCEPT_ENCODING};
use tokio::time::{Instant, timeout};
use tower::{ServiceExt, util::BoxCloneSyncService};
use tower_service::Service;

use crate::{
    EgressConfig, EgressConfigError, EgressError, EgressErrorKind, MaxBody, RequestKind,
    guard::{Blocked, Guard, GuardedResolver},
};

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
    /// CA certificates are the operating system's, or those in the file that `SSL_CERT_FILE` names, and
    /// [those of the configuration](EgressConfig::with_ca_certificates).
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

/// reqwest behind the guard.
#[derive(Clone)]
struct Client {
    http: reqwest::Client,
    guard: Guard,
    max_body: usize,
}

impl Client {
    fn new(config: EgressConfig) -> Result<Self, EgressConfigError> {
        let guard = Guard::new(config.allow_loopback, config.allowed_networks)
            .with_http_hosts(config.http_hosts.clone())
            .with_proxy_host(config.proxy.as_ref().and_then(|proxy| proxy.url.host_str()));
        let invalid = |error: reqwest::Error, problem| EgressConfigError { problem, source: Some(error.into()) };
        let client = match config.proxy {
            Some(proxy) => {
                let hosts = proxy.direct.iter().chain(&config.http_hosts).map(AsRef::as_ref);
                let direct: Vec<&str> = hosts.chain(["localhost", "127.0.0.0/8", "::1"]).collect();
                let proxied =
                    reqwest::Proxy::all(proxy.url).map_err(|error| invalid(error, "the proxy cannot be used"))?;
                let proxied = proxied.no_proxy(reqwest::NoProxy::from_string(&direct.join(",")));
                // The environment is ignored also if there is a proxy.
                reqwest::Client::builder().no_proxy().proxy(proxied)
            }
            None => reqwest::Client::builder().no_proxy(),
        };
        let http = client
            .user_agent(concat!("portcullis/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(GuardedResolver(guard.clone()))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .tls_certs_merge(config.ca_certificates.map(|certificates| certificates.0).unwrap_or_default())
            .connect_timeout(config.connect_timeout)
            .tcp_nodelay(true)
            .build()
            .map_err(|error| {
                invalid(error, "no HTTPS client can be made on this machine: are CA certificates installed, and valid?")
            })?;
        Ok(Self { http, guard, max_body: config.max_body })
    }

    async fn send(self, request: Request<Bytes>) -> Result<Response<Bytes>, EgressError> {
        let uri = request.uri().clone();
        let limit =
            request.extensions().get::<MaxBody>().map_or(self.max_body, |limit| limit.bytes().min(self.max_body));
        let blocked = EgressErrorKind::Blocked;
        let mut request = reqwest::Request::try_from(request)
            .map_err(|error| EgressError::new(blocked, &uri).with_source(error.without_url()))?;
        self.guard.check_url(request.url()).map_err(|why| EgressError::new(blocked, &uri).with_source(why))?;

        request.headers_mut().entry(ACCEPT_ENCODING).or_insert(HeaderValue::from_static("identity"));
        let mut received = self.http.execute(request).await.map_err(|error| convert(error, &uri))?;
        let mut response = Response::new(());
        *response.status_mut() = received.status();
        *response.version_mut() = received.version();
        *response.headers_mut() = std::mem::take(received.headers_mut());
        let body = read(received, limit, &uri).await?;
        Ok(response.map(|()| body))
    }
}

/// Reads the body up to `limit`. An announced length is an early reason to stop, and is not relied on otherwise.
async fn read(mut received: reqwest::Response, limit: usize, uri: &Uri) -> Result<Bytes, EgressError> {
    let too_large = || EgressError::new(EgressErrorKind::BodyTooLarge, uri);
    if received.content_length().is_some_and(|length| usize::try_from(length).is_ok_and(|n| n > limit)) {
        return Err(too_large());
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = received.chunk().await.map_err(|error| convert(error, uri))? {
        if chunk.len() > limit - body.len() {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// Converts an error of reqwest. Its URL is removed, because it contains the query.
fn convert(error: reqwest::Error, uri: &Uri) -> EgressError {
    let error = error.without_url();
    let mut causes = iter::successors(error.source(), |cause| (*cause).source());
    let kind = if causes.any(|cause| cause.is::<Blocked>()) {
        EgressErrorKind::Blocked
    } else if error.is_connect() {
        EgressErrorKind::Connect
    } else if error.is_timeout() {
        EgressErrorKind::Timeout
    } else {
        EgressErrorKind::Transport
    };
    EgressError::new(kind, uri).with_source(error)
}
