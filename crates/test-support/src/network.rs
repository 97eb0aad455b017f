//! [`Network`]: where the requests of a test go: services by their origin, and sockets for the rest.

use std::{
    collections::BTreeMap,
    error::Error,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, header::HOST};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use portcullis_testkit::IdentityProvider;
use tokio::net::TcpStream;
use tower::ServiceExt;
use tower_service::Service;
use url::Url;

type Answer = Pin<Box<dyn Future<Output = Result<Response<Bytes>, Box<dyn Error + Send + Sync>>> + Send>>;
type Route = Arc<dyn Fn(Request<Full<Bytes>>) -> Answer + Send + Sync>;

/// Where the requests of a test go: to services of this process by their origin, and for the rest to sockets, in plain HTTP.
///
/// Without sockets a test can pause tokio's time, and its servers can have names and `https`. It is a tower service too, so it can
/// stand behind an egress. Nothing is followed, kept or cached.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
/// use axum::{Router, routing::get};
/// use bytes::Bytes;
/// use http::Request;
/// use portcullis_test_support::{IdentityProvider, Network};
///
/// let app: Router = Router::new().route("/", get(async || "Hello"));
/// let provider = IdentityProvider::new();
/// let network = Network::new().with_provider(&provider).with_service("https://app.example.test", app);
///
/// let response = network.send(Request::get("https://app.example.test/").body(Bytes::new()).unwrap()).await?;
/// assert_eq!(response.body(), "Hello");
/// let response = network.send(Request::get(provider.url("/jwks")).body(Bytes::new()).unwrap()).await?;
/// assert_eq!(response.status(), 200);
/// # Ok::<_, portcullis_test_support::NetworkError>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Default)]
pub struct Network {
    routes: BTreeMap<String, Route>,
}

impl Network {
    /// Creates a network of sockets only.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `service` at `origin` (such as `https://mcp.example.test`): an axum `Router`, or any other service of HTTP.
    ///
    /// # Panics
    /// If `origin` is no URL.
    #[must_use]
    pub fn with_service<S, B>(mut self, origin: &str, service: S) -> Self
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Error: Into<Box<dyn Error + Send + Sync>>,
        S::Future: Send,
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let route = move |request| -> Answer {
            let service = service.clone();
            Box::pin(async move {
                let (parts, body) = service.oneshot(request).await.map_err(Into::into)?.into_parts();
                let body = body.collect().await.map_err(Into::into)?.to_bytes();
                Ok(Response::from_parts(parts, body))
            })
        };
        self.routes.insert(origin_of(&origin.parse().expect("an origin")), Arc::new(route));
        self
    }

    /// Adds `provider` at the origin of its issuer.
    #[must_use]
    pub fn with_provider(self, provider: &IdentityProvider) -> Self {
        let provider = provider.clone();
        let issuer = provider.issuer();
        let service = tower::service_fn(move |request: Request<Full<Bytes>>| {
            let provider = provider.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
                provider.oneshot(Request::from_parts(parts, body)).await.map(|response| response.map(Full::new))
            }
        });
        self.with_service(&issuer, service)
    }

    /// Sends `request`, whose URI is absolute; the receiver sees path and query, and the header `Host`.
    ///
    /// # Errors
    /// [`NetworkError`] if no server is there, or if it does not respond.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, NetworkError> {
        let uri = request.uri().to_string();
        let Some(url) = Url::parse(&uri).ok().filter(|url| url.has_host()) else {
            return Err(NetworkError::NotAbsolute(uri));
        };
        let request = as_received(&url, request).map_err(|_| NetworkError::NotAbsolute(uri))?;
        let origin = origin_of(&url);
        let answer = match self.routes.get(&origin) {
            Some(route) => route(request).await,
            None if url.scheme() == "http" => send_over_socket(&url, request).await,
            None => return Err(NetworkError::Nowhere(origin)),
        };
        answer.map_err(|source| NetworkError::Failed { origin, source })
    }
}

/// Returns the request as a server receives it, [RFC 9112 section 3.2.1](https://www.rfc-editor.org/rfc/rfc9112#section-3.2.1).
fn as_received(url: &Url, request: Request<Bytes>) -> Result<Request<Full<Bytes>>, http::Error> {
    let mut request = request.map(Full::new);
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let target: Uri = target.parse()?;
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let host = HeaderValue::try_from(format!("{}{port}", url.host_str().unwrap_or_default()))?;
    request.headers_mut().entry(HOST).or_insert(host);
    *request.uri_mut() = target;
    Ok(request)
}

fn origin_of(url: &Url) -> String {
    url.origin().ascii_serialization()
}

impl Service<Request<Bytes>> for Network {
    type Response = Response<Bytes>;
    type Error = NetworkError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Bytes>, NetworkError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NetworkError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let network = self.clone();
        Box::pin(async move { network.send(request).await })
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.routes.keys()).finish()
    }
}

/// Sends `request` in plain HTTP over a connection of its own.
async fn send_over_socket(
    url: &Url,
    request: Request<Full<Bytes>>,
) -> Result<Response<Bytes>, Box<dyn Error + Send + Sync>> {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let socket = TcpStream::connect((host, url.port_or_known_default().unwrap_or(80))).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request).await;
    let (parts, body) = response?.into_parts();
    let body = body.collect().await?.to_bytes();
    connection.abort();
    Ok(Response::from_parts(parts, body))
}

/// The reason why there is no response.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// The URL of a request has no scheme or no host.
    #[error("{0} is no URL of http or https")]
    NotAbsolute(String),
    /// There is no service at this origin, and sockets are for plain HTTP only.
    #[error("nothing of this test is at {0}, and sockets are for http only")]
    Nowhere(String),
    /// No server listens there, or it closed the connection.
    #[error("{origin} did not answer")]
    Failed {
        /// The origin.
        origin: String,
        /// The cause.
        source: Box<dyn Error + Send + Sync>,
    },
}
