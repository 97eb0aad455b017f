//! Requests to the token endpoint, and [`ProviderClient`] as a [`TokenRefresh`](portcullis_refresh::TokenRefresh).

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::Request;
use portcullis_oauth::TokenResponse;
use portcullis_remote::{CallError, EndpointClient};
use secrecy::SecretString;
use tower_service::Service;

use super::{ProviderClient, call_error::refresh_error, client::fingerprint};
use portcullis_refresh::{RefreshError, TokenSet};

impl ProviderClient {
    async fn refresh(&self, tokens: &TokenSet) -> Result<TokenResponse, RefreshError> {
        let Some(refresh_token) = tokens.refresh_token() else {
            return Err(RefreshError::refused("there is no refresh token"));
        };
        // Read before the request is sent: a later acceptance says nothing about this request.
        let accepted_at = self.last_accepted();
        let request = self.provider().refresh_request(self.client(), refresh_token);
        let error = match self.tokens(self.refresh_tokens(), refresh_token, request).await {
            Ok(response) => return Ok(self.with_lifetime(response).await),
            Err(error) => error,
        };
        match self.is_active(&error, refresh_token).await {
            Some(false) => Err(RefreshError::refused("rejected without an error code, and not active")),
            Some(true) => Err(RefreshError::misconfigured(error.into())),
            None => Err(refresh_error(error).with_accepted_at(accepted_at)),
        }
    }

    /// Redeems `code` at the token endpoint.
    pub(super) async fn redeem(
        &self,
        code: &SecretString,
        request: Request<Bytes>,
    ) -> Result<TokenResponse, CallError> {
        self.tokens(self.codes(), code, request).await
    }

    async fn tokens(
        &self,
        endpoint: &EndpointClient,
        presented: &SecretString,
        request: Request<Bytes>,
    ) -> Result<TokenResponse, CallError> {
        let process = |response: &_| self.provider().process_token(response, self.now());
        let response = endpoint.send(fingerprint(presented), request, process).await?;
        // Only a success proves that the credentials of this server are accepted: some providers check the token first.
        self.note_accepted();
        // Where refresh tokens rotate, the presented one is spent, and this one is valid.
        if let Some(issued) = &response.refresh_token {
            self.refresh_tokens().accept(fingerprint(issued));
        }
        Ok(response)
    }
}

impl Service<Arc<TokenSet>> for ProviderClient {
    type Response = TokenResponse;
    type Error = RefreshError;
    type Future = Pin<Box<dyn Future<Output = Result<TokenResponse, RefreshError>> + Send>>;

    /// Returns that the client is ready, always.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), RefreshError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, tokens: Arc<TokenSet>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move { this.refresh(&tokens).await })
    }
}
