//! Introspection at the provider: the lifetime of an access token, and whether a refresh token is active.

use std::{error::Error as _, time::Duration};

use bytes::Bytes;
use http::Request;
use portcullis_core::{AuthError, Fingerprint, Reason};
use portcullis_oauth::{
    TokenResponse,
    introspection::{self, IntrospectionResponse},
};
use portcullis_remote::CallError;
use secrecy::SecretString;
use tokio::time::timeout;

use super::{ProviderClient, call_error::is_bare, client::fingerprint};

/// How long an introspection may delay a refresh, whose tokens are not saved yet.
const TIMEOUT: Duration = Duration::from_millis(1500);

impl ProviderClient {
    /// Adds the lifetime that the token response did not contain: by introspection, else the default of the provider.
    pub(super) async fn with_lifetime(&self, mut tokens: TokenResponse) -> TokenResponse {
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
    pub(super) async fn is_active(&self, error: &CallError, refresh_token: &SecretString) -> Option<bool> {
        if !is_bare(error) {
            return None;
        }
        let request = self.provider().refresh_token_introspection_request(self.client(), refresh_token);
        Some(self.introspect(fingerprint(refresh_token), request).await?.is_active())
    }

    async fn introspect(&self, token: Fingerprint, request: Option<Request<Bytes>>) -> Option<IntrospectionResponse> {
        let response = self.introspection().send(token, request?, introspection::process);
        let error = match timeout(TIMEOUT, response).await {
            Ok(Ok(response)) => return Some(response),
            Ok(Err(error)) => error.into(),
            Err(_) => AuthError::new(Reason::ProviderTimeout),
        };
        let (provider, reason) = (self.provider().name(), error.reason());
        tracing::warn!(provider, %reason, source = error.source(), "the introspection of a token failed");
        None
    }
}
