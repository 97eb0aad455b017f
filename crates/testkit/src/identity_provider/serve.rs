//! The identity provider as a tower service, and [`RunningIdentityProvider`] on a loopback socket.

use std::{
    error::Error,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};
use tower_service::Service;

use super::{Disconnected, Endpoint, Fault, IdentityProvider, SeenRequest, messages::empty, respond::respond};

impl Service<Request<Bytes>> for IdentityProvider {
    type Response = Response<Bytes>;
    type Error = Disconnected;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Bytes>, Disconnected>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Disconnected>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        Box::pin(self.clone().answer(request))
    }
}

impl IdentityProvider {
    async fn answer(self, request: Request<Bytes>) -> Result<Response<Bytes>, Disconnected> {
        let Some(endpoint) = self.arrive(&request) else { return Ok(empty(StatusCode::NOT_FOUND)) };
        let processing = self.process(endpoint, request);
        let outcome = if endpoint.has_effects() {
            // The request is processed, whether or not the client waits for the response.
            tokio::spawn(processing).await.expect("processing does not panic")
        } else {
            processing.await
        };
        match outcome {
            Outcome::Failed(fault) => fault.respond().await,
            Outcome::Processed { response, lost, latency } => {
                if !latency.is_zero() {
                    tokio::time::sleep(latency).await;
                }
                match lost {
                    Some(fault) => fault.respond().await,
                    None => Ok(response),
                }
            }
        }
    }

    async fn process(self, endpoint: Endpoint, request: Request<Bytes>) -> Outcome {
        let latency = self.state().switches(endpoint).latency;
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        let fault = self.state().switches(endpoint).strike();
        match fault {
            Some(fault) if !fault.comes_after_processing() => Outcome::Failed(fault),
            lost => Outcome::Processed {
                response: respond(&self, endpoint, &request),
                lost,
                latency: self.state().switches(endpoint).answer_latency,
            },
        }
    }

    /// Finds the endpoint and counts the call.
    fn arrive(&self, request: &Request<Bytes>) -> Option<Endpoint> {
        let mut state = self.state();
        let issuer: Uri = state.issuer.parse().ok()?;
        let endpoint = Endpoint::at(request.uri().path(), issuer.path().trim_end_matches('/'), state.dialect.paths())?;
        let endpoint = state.dialect.meant(endpoint, request.method());
        let switches = state.switches(endpoint);
        switches.calls += 1;
        switches.last = Some(SeenRequest::of(request));
        Some(endpoint)
    }
}

/// The outcome of a request.
enum Outcome {
    /// The request was not processed.
    Failed(Fault),
    /// The request was processed; the response may be late, or lost.
    Processed { response: Response<Bytes>, lost: Option<Fault>, latency: Duration },
}

const LARGEST_REQUEST: usize = 1024 * 1024;

/// An [`IdentityProvider`] on a loopback socket. It stops when this is dropped.
#[derive(Debug)]
#[must_use = "it stops when this is dropped"]
pub struct RunningIdentityProvider {
    url: String,
    server: JoinHandle<()>,
}

impl IdentityProvider {
    /// Serves the provider on a free loopback port. From now on the issuer is the URL (of a Keycloak: a realm there).
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// use portcullis_testkit::IdentityProvider;
    ///
    /// let provider = IdentityProvider::new();
    /// let running = provider.serve().await?;
    /// assert!(running.url().starts_with("http://127.0.0.1:"));
    /// assert_eq!(provider.issuer(), running.url());
    /// running.shutdown().await;
    /// # Ok::<_, std::io::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// If there is no port.
    pub async fn serve(&self) -> io::Result<RunningIdentityProvider> {
        self.serve_on(TcpListener::bind(("127.0.0.1", 0)).await?)
    }

    /// Serves the provider on `listener`. From now on the issuer is the URL.
    ///
    /// # Errors
    /// If the listener has no address.
    pub fn serve_on(&self, listener: TcpListener) -> io::Result<RunningIdentityProvider> {
        let url = format!("http://{}", listener.local_addr()?);
        {
            let mut state = self.state();
            state.issuer = format!("{url}{}", state.dialect.issuer_path());
        }
        let server = tokio::spawn(accept(listener, self.clone()));
        Ok(RunningIdentityProvider { url, server })
    }
}

impl RunningIdentityProvider {
    /// Returns the URL, which is also the issuer; the issuer of a Keycloak is a realm below it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stops the server: closes the port and every connection.
    pub async fn shutdown(mut self) {
        self.server.abort();
        // The error says that it was aborted.
        let _aborted = (&mut self.server).await;
    }
}

impl Drop for RunningIdentityProvider {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn accept(listener: TcpListener, provider: IdentityProvider) {
    // Aborted with this task: its connections are broken off.
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        // Responses do not wait for the client's acknowledgements. If this fails, the connection is closed, which serving it reports.
        drop(socket.set_nodelay(true));
        let provider = provider.clone();
        let service = service_fn(move |request| answer(provider.clone(), request));
        // A connection that ends in an error was closed by the client, or by a fault that the test has set.
        connections.spawn(async move { http1::Builder::new().serve_connection(TokioIo::new(socket), service).await });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(
    mut provider: IdentityProvider,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Box<dyn Error + Send + Sync>> {
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, LARGEST_REQUEST).collect().await?.to_bytes();
    Ok(provider.call(Request::from_parts(parts, body)).await?.map(Full::new))
}
