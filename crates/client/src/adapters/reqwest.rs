//! [`ReqwestService`]: a `reqwest::Client` as a service of `http` requests.

use std::{
    future::{Future, ready},
    pin::Pin,
    task::{Context, Poll},
};

use http::{Request, Response};
use reqwest::{Body, Client};
use tower_service::Service;

/// A [`reqwest::Client`] as a tower service of [`http::Request`]s, for a [`TokenLayer`](crate::TokenLayer) around it.
///
/// ```no_run
/// # async fn get(manager: portcullis_client::TokenManager) -> Result<(), Box<dyn std::error::Error>> {
/// use bytes::Bytes;
/// use portcullis_client::{TokenLayer, adapters::ReqwestService};
/// use tower::{Layer, ServiceExt};
///
/// let client = TokenLayer::new(manager).layer(ReqwestService::new(reqwest::Client::new()));
/// let request = http::Request::get("https://mcp.example/mcp").body(Bytes::new())?;
/// let response: http::Response<reqwest::Body> = client.oneshot(request).await?;
/// # Ok(())
/// # }
/// ```
///
/// If the client follows redirects, it removes the token when the host changes, as is the default of `reqwest`.
#[derive(Clone, Debug)]
pub struct ReqwestService(Client);

impl ReqwestService {
    /// Creates a service that sends its requests through `client`.
    #[must_use]
    pub const fn new(client: Client) -> Self {
        Self(client)
    }
}

impl<B: Into<Body>> Service<Request<B>> for ReqwestService {
    type Response = Response<Body>;
    type Error = reqwest::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, reqwest::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match reqwest::Request::try_from(request) {
            Ok(request) => {
                let response = self.0.execute(request);
                Box::pin(async move { response.await.map(Response::from) })
            }
            Err(error) => Box::pin(ready(Err(error))),
        }
    }
}
