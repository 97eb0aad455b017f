//! [`RunningIdentityProvider`]: an identity provider on a loopback socket.

use std::{error::Error, io};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};
use tower_service::Service;

use super::IdentityProvider;

const LARGEST_REQUEST: usize = 1024 * 1024;

/// An [`IdentityProvider`] on a loopback socket. It stops when this is dropped.
#[derive(Debug)]
#[must_use = "it stops when this is dropped"]
pub struct RunningIdentityProvider {
    url: String,
    server: JoinHandle<()>,
}

impl IdentityProvider {
    /// Serves it on a free port of the loopback. From now on its issuer is its URL (of a Keycloak: a realm there).
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

    /// Serves it on `listener`. From now on its issuer is its URL.
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
    /// Where it is, which is also its issuer, unless it is a Keycloak: then the issuer is a realm below it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stops it: the port is closed and every connection broken off.
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
        // Answers do not wait for the client's acknowledgements. If this fails the connection is gone, which serving it shows.
        drop(socket.set_nodelay(true));
        let provider = provider.clone();
        let service = service_fn(move |request| answer(provider.clone(), request));
        // A connection that ends in an error is the client's business, or a fault that the test has set.
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
