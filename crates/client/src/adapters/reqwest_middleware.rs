//! [`TokenMiddleware`]: the layer as a middleware of the crate `reqwest-middleware`.

use http::{Extensions, Uri, header::AUTHORIZATION};
use reqwest::{Request, Response};
use reqwest_middleware::{Error, Middleware, Next};

use crate::{
    TokenManager,
    attempt::{Attempt, Scheme, token_challenge},
    target::Target,
};

/// A middleware of the crate `reqwest-middleware` that does what [`TokenLayer`](crate::TokenLayer) does. A request is repeated if its
/// body is no stream.
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
        let is_covered = request.url().as_str().parse::<Uri>().is_ok_and(|uri| self.target.covers(&uri));
        if !is_covered || request.headers().contains_key(AUTHORIZATION) {
            return next.run(request, extensions).await;
        }
        let token = self.manager.token_of_request().await.map_err(Error::middleware)?;
        let mut attempt = Attempt::new(token);
        loop {
            let copy = request.try_clone();
            if let Some(token) = attempt.token() {
                request.headers_mut().insert(AUTHORIZATION, token.authorization());
            }
            let response = next.clone().run(request, extensions).await?;
            let status = response.status();
            let Some(challenge) = token_challenge(status, response.headers(), Scheme::Bearer) else {
                return Ok(response);
            };
            let Some(copy) = copy else {
                attempt.give_up(&self.manager, status);
                return Ok(response);
            };
            if !attempt.recover(&self.manager, status, &challenge).await.map_err(Error::middleware)? {
                return Ok(response);
            }
            request = copy;
        }
    }
}
