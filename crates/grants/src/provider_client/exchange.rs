//! The client as an [`Exchange`](crate::Exchange): a refresh token is presented.

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
use crate::{ExchangeError, TokenSet};

impl ProviderClient {
    async fn refresh(&self, tokens: &TokenSet) -> Result<TokenResponse, ExchangeError> {
        let Some(refresh_token) = tokens.refresh_token() else {
            return Err(ExchangeError::refused("there is no refresh token"));
        };
        let request = self.provider().refresh_request(self.client(), refresh_token);
        match self.tokens(self.refresh_tokens(), refresh_token, request).await {
            Ok(response) => Ok(self.with_lifetime(response).await),
            Err(failure) if self.is_dead(&failure, refresh_token).await => {
                Err(ExchangeError::refused("refused without a word, and not active"))
            }
            Err(failure) => Err(failure.into()),
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
        let credential = fingerprint(presented);
        self.ask(line, credential, request, |response| self.provider().process_token(response, self.now())).await
    }
}

impl Service<Arc<TokenSet>> for ProviderClient {
    type Response = TokenResponse;
    type Error = ExchangeError;
    type Future = Pin<Box<dyn Future<Output = Result<TokenResponse, ExchangeError>> + Send>>;

    /// Always ready.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ExchangeError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, tokens: Arc<TokenSet>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move { this.refresh(&tokens).await })
    }
}
