//! Requests to the token endpoint and for introspection, and what their errors mean for the credential that was presented.

use std::{
    error::Error as _,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use portcullis_core::{AuthError, Fingerprint, Reason, ScopeSet, UnixTime};
use portcullis_oauth::{
    CodeVerifier, ProtocolError, TokenResponse,
    introspection::{self, IntrospectionResponse},
    providers::Provider,
};
use portcullis_refresh::{RefreshError, TokenSet};
use portcullis_remote::{CallError, EndpointClient};
use secrecy::SecretString;
use tokio::time::timeout;
use tower_service::Service;

use crate::provider_client::{ProviderClient, fingerprint};

/// How long an introspection may delay a refresh, whose tokens are not saved yet.
const INTROSPECTION_TIMEOUT: Duration = Duration::from_millis(1500);

impl ProviderClient {
    async fn refresh(&self, tokens: &TokenSet) -> Result<TokenResponse, RefreshError> {
        let Some(refresh_token) = tokens.refresh_token() else {
            return Err(RefreshError::refused("there is no refresh token"));
        };
        // Read before the request is sent: a later acceptance says nothing about this request.
        let accepted_at = self.last_accepted();
        let request = self.provider().refresh_request(self.client(), refresh_token);
        let error = match self.tokens(self.refresh_tokens(), refresh_token, request, Provider::process_refresh).await {
            Ok(response) => return Ok(self.with_lifetime(response).await),
            Err(error) => error,
        };
        match self.is_active(&error, refresh_token).await {
            Some(false) => Err(RefreshError::refused("rejected without an error code, and not active")),
            Some(true) => Err(RefreshError::misconfigured(error.into())),
            None => Err(RefreshError::from(error).with_accepted_at(accepted_at)),
        }
    }

    /// Redeems an authorization code, which was returned to `redirect_uri` after the scopes `asked` had been requested, for the tokens of a new
    /// grant.
    ///
    /// Compare the [scopes](TokenSet::scopes): a user may grant less than was requested. The ID token is **not** verified, so the user must
    /// be known already; [`login`](Self::login) identifies the user.
    ///
    /// # Errors
    /// [`RefreshError`]. A code is valid once: after an error only a new login returns tokens, unless the request was not sent.
    pub async fn exchange_code(
        &self,
        code: &SecretString,
        redirect_uri: &str,
        verifier: &CodeVerifier,
        asked: &ScopeSet,
    ) -> Result<TokenSet, RefreshError> {
        let request = self.provider().code_request(self.client(), code, redirect_uri, verifier);
        let response = self.redeem(code, request).await.map_err(RefreshError::from)?;
        Ok(TokenSet::from_login(self.with_lifetime(response).await, asked, self.now()))
    }

    /// Redeems `code` at the token endpoint.
    pub(crate) async fn redeem(
        &self,
        code: &SecretString,
        request: Request<Bytes>,
    ) -> Result<TokenResponse, CallError> {
        self.tokens(self.codes(), code, request, Provider::process_token).await
    }

    async fn tokens(
        &self,
        endpoint: &EndpointClient,
        presented: &SecretString,
        request: Request<Bytes>,
        process: fn(&Provider, &Response<Bytes>, UnixTime) -> Result<TokenResponse, ProtocolError>,
    ) -> Result<TokenResponse, CallError> {
        let process = |response: &_| process(self.provider(), response, self.now());
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

impl ProviderClient {
    /// Adds the lifetime that the token response did not contain: by introspection, else the default of the provider.
    pub(crate) async fn with_lifetime(&self, mut tokens: TokenResponse) -> TokenResponse {
        if tokens.expires_in.is_some() || tokens.expires_at.is_some() {
            return tokens;
        }
        let request = self.provider().introspection_request(self.client(), &tokens.access_token);
        let token = tokens.access_token.fingerprint();
        let expires_at = self.introspect(token, request).await.and_then(|response| response.expires_at());
        // A token that was just issued has not expired: if the response says so, a clock is wrong.
        tokens.expires_at = expires_at.filter(|expires_at| *expires_at > self.now());
        if tokens.expires_at.is_none() {
            tokens.expires_in = self.provider().default_lifetime();
        }
        tokens
    }

    /// Introspects a refresh token that was refused without an error code. `None` if it was refused in another way, or there is no answer.
    ///
    /// RFC 6749 section 5.2 requires the code `invalid_grant`. If a provider answers every problem with a bare 400, introspection alone
    /// tells a dead refresh token, whose user must log in again, from other problems.
    async fn is_active(&self, error: &CallError, refresh_token: &SecretString) -> Option<bool> {
        if !is_bare(error) {
            return None;
        }
        let request = self.provider().refresh_token_introspection_request(self.client(), refresh_token);
        Some(self.introspect(fingerprint(refresh_token), request).await?.is_active())
    }

    async fn introspect(&self, token: Fingerprint, request: Option<Request<Bytes>>) -> Option<IntrospectionResponse> {
        let response = self.introspection().send(token, request?, introspection::process);
        let error = match timeout(INTROSPECTION_TIMEOUT, response).await {
            Ok(Ok(response)) => return Some(response),
            Ok(Err(error)) => error.into(),
            Err(_) => AuthError::new(Reason::ProviderTimeout),
        };
        let (provider, reason) = (self.provider().name(), error.reason());
        tracing::warn!(provider, %reason, source = error.source(), "the introspection of a token failed");
        None
    }
}

/// Reports whether `error` is a 400 without an error code, which does not say what is wrong.
fn is_bare(error: &CallError) -> bool {
    const BAD_REQUEST: StatusCode = StatusCode::BAD_REQUEST;
    matches!(
        error,
        CallError::Protocol(ProtocolError::UnknownRefusal { status: BAD_REQUEST, code: None, wording: None })
    )
}
