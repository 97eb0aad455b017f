//! The client as an [`TokenRefresh`](crate::TokenRefresh): a refresh token is presented.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::Request;
use portcullis_oauth::TokenResponse;
use secrecy::SecretString;
use tower_service::Service;

use super::{ProviderClient, failure::Failure, line::Line, presented::fingerprint};
use crate::{RefreshError, TokenSet};

impl ProviderClient {
    async fn refresh(&self, tokens: &TokenSet) -> Result<TokenResponse, RefreshError> {
        let Some(refresh_token) = tokens.refresh_token() else {
            return Err(RefreshError::refused("there is no refresh token"));
        };
        // Before it is sent: what is accepted meanwhile says nothing about this request.
        let accepted_at = self.accepted().last();
        let request = self.provider().refresh_request(self.client(), refresh_token);
        let failure = match self.tokens(self.refresh_tokens(), refresh_token, request).await {
            Ok(response) => return Ok(self.with_lifetime(response).await),
            Err(failure) => failure,
        };
        match self.is_active(&failure, refresh_token).await {
            Some(false) => Err(RefreshError::refused("refused without a word, and not active")),
            Some(true) => Err(RefreshError::misconfigured(failure.into())),
            None => Err(RefreshError::from(failure).with_accepted_at(accepted_at)),
        }
    }

    /// Asks the token endpoint for the tokens behind `code`.
    pub(super) async fn redeem(&self, code: &SecretString, request: Request<Bytes>) -> Result<TokenResponse, Failure> {
        self.tokens(self.codes(), code, request).await
    }

    async fn tokens(
        &self,
        line: &Line,
        presented: &SecretString,
        request: Request<Bytes>,
    ) -> Result<TokenResponse, Failure> {
        let process = |response: &_| self.provider().process_token(response, self.now());
        let response = self.ask(line, fingerprint(presented), request, process).await?;
        // Nothing else shows it: some providers look at the client's credentials only after the token.
        self.accepted().note();
        // Where refresh tokens rotate, the one that was presented is spent, and this is the one that works.
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

    /// Always ready.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), RefreshError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, tokens: Arc<TokenSet>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move { this.refresh(&tokens).await })
    }
}
