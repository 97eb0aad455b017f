//! [`ReqwestService`]: a `reqwest::Client` as a service of `http` requests.

use std::{
    future::{Future, ready},
    pin::Pin,
    task::{Context, Poll},
};

use http::{Request, Response};
use reqwest::{Body, Client, redirect::Policy};
use tower_service::Service;

use crate::attempt::FromElsewhere;

/// A [`reqwest::Client`] as a tower service of [`http::Request`]s, for a [`TokenLayer`](crate::TokenLayer) around it.
///
/// ```no_run
/// # async fn get(manager: portcullis_client::TokenManager) -> Result<(), Box<dyn std::error::Error>> {
/// use bytes::Bytes;
/// use portcullis_client::{TokenLayer, adapters};
/// use tower::{Layer, ServiceExt};
///
/// let client = reqwest::Client::builder().redirect(adapters::within_origin()).build()?;
/// let client = TokenLayer::new(manager).layer(adapters::ReqwestService::new(client));
/// let request = http::Request::get("https://mcp.example/mcp").body(Bytes::new())?;
/// let response: http::Response<reqwest::Body> = client.oneshot(request).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Redirects
/// A `reqwest::Client` follows redirects below the layer, by default to any origin. The token is lost on the way to another host or port,
/// and the layer does not react to the response of another origin. `reqwest` does **not** remove the token if only the scheme changes and
/// the port is named in both URLs. Build the client with [`within_origin`], or with `Policy::none()`.
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
                let (origin, response) = (request.url().origin(), self.0.execute(request));
                Box::pin(async move {
                    let response = response.await?;
                    let is_elsewhere = response.url().origin() != origin;
                    let mut response = Response::from(response);
                    if is_elsewhere {
                        response.extensions_mut().insert(FromElsewhere);
                    }
                    Ok(response)
                })
            }
            Err(error) => Box::pin(ready(Err(error))),
        }
    }
}

/// Returns a policy for [`reqwest::ClientBuilder::redirect`] that follows redirects within one origin, ten at most: scheme, host and port
/// stay. A redirect to another origin is not followed, and its response is returned.
///
/// MCP servers redirect from `/mcp` to `/mcp/`; none has a reason to send a request with a token to another origin.
#[must_use]
pub fn within_origin() -> Policy {
    Policy::custom(|attempt| {
        let is_within = attempt.previous().last().is_some_and(|from| from.origin() == attempt.url().origin());
        match (is_within, attempt.previous().len()) {
            (true, ..=10) => attempt.follow(),
            (true, _) => attempt.error("too many redirects"),
            (false, _) => attempt.stop(),
        }
    })
}
