//! [`TokenMiddleware`]: the layer as a middleware of the crate `reqwest-middleware`.

use http::{Extensions, Uri, header::AUTHORIZATION};
use reqwest::{Request, Response};
use reqwest_middleware::{Error, Middleware, Next};

use crate::{TokenManager, attempt::Attempt, target::Target};

/// A middleware of the crate `reqwest-middleware` that does what [`TokenLayer`](crate::TokenLayer) does. A request is repeated if its
/// body is no stream. Tokens that are bound to a [`DpopKey`](crate::DpopKey) are presented with proofs.
///
/// The `reqwest::Client` below follows redirects by itself: see [`within_origin`](super::within_origin).
///
/// An [`AcquireError`](crate::AcquireError) is in the chain of sources of the error that it returns.
///
/// ```
/// # async fn get(manager: portcullis_client::TokenManager) -> Result<(), reqwest_middleware::Error> {
/// use portcullis_client::adapters::TokenMiddleware;
///
/// let client = reqwest_middleware::ClientBuilder::new(reqwest::Client::new()).with(TokenMiddleware::new(manager)).build();
/// let response = client.get("https://mcp.example/mcp").send().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TokenMiddleware {
    manager: TokenManager,
    target: Target,
}

impl TokenMiddleware {
    /// Creates a middleware with the tokens of `manager`.
    #[must_use]
    pub fn new(manager: TokenManager) -> Self {
        let target = Target::new(manager.resource());
        Self { manager, target }
    }
}

#[async_trait::async_trait]
impl Middleware for TokenMiddleware {
    async fn handle(
        &self,
        mut request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        let uri = request.url().as_str().parse::<Uri>().ok().filter(|uri| self.target.covers(uri));
        let Some(uri) = uri.filter(|_| !request.headers().contains_key(AUTHORIZATION)) else {
            return next.run(request, extensions).await;
        };
        let origin = request.url().origin();
        let token = self.manager.token_of_request().await.map_err(Error::middleware)?;
        let mut attempt = Attempt::new(token, self.manager.dpop_key().cloned());
        loop {
            let (copy, method) = (request.try_clone(), request.method().clone());
            attempt.present(request.headers_mut(), &method, &uri);
            let response = next.clone().run(request, extensions).await?;
            if response.url().origin() != origin {
                return Ok(response);
            }
            let Some(refusal) = attempt.refusal(&uri, response.status(), response.headers()) else {
                return Ok(response);
            };
            let Some(copy) = copy else {
                attempt.give_up(&self.manager, &refusal);
                return Ok(response);
            };
            if !attempt.recover(&self.manager, &refusal).await.map_err(Error::middleware)? {
                return Ok(response);
            }
            request = copy;
        }
    }
}
