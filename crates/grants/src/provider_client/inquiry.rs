//! What a provider is asked about tokens beside an exchange: how long one lives, and whether one is dead.

use std::{error::Error as _, time::Duration};

use bytes::Bytes;
use http::Request;
use portcullis_core::{AuthError, Fingerprint, Reason};
use portcullis_oauth::{
    TokenResponse,
    introspection::{self, IntrospectionResponse},
};
use secrecy::SecretString;
use tokio::time::timeout;

use super::{ProviderClient, call_error::CallError, client::fingerprint};

/// How long an exchange is held up by such a question, at most: what it brought is not saved yet.
const PATIENCE: Duration = Duration::from_millis(1500);

impl ProviderClient {
    /// `tokens` with the lifetime that the response did not tell: by introspection, else what the provider is known for.
    pub(super) async fn with_lifetime(&self, mut tokens: TokenResponse) -> TokenResponse {
        if tokens.expires_in.is_some() || tokens.expires_at.is_some() {
            return tokens;
        }
        let request = self.provider().introspection_request(self.client(), &tokens.access_token);
        let asked_about = tokens.access_token.fingerprint();
        let answer = self.introspect(asked_about, request).await.and_then(|answer| answer.expires_at());
        // A token that has just come has not expired: if it says so, a clock is wrong.
        tokens.expires_at = answer.filter(|expires_at| *expires_at > self.now());
        if tokens.expires_at.is_none() {
            tokens.expires_in = self.provider().default_lifetime();
        }
        tokens
    }

    /// Whether a refresh token is active that was refused without a word.
    ///
    /// RFC 6749 section 5.2 wants the code `invalid_grant`; a provider that answers a bare 400 to everything would keep its users
    /// from ever logging in again. So it is asked, where it can be. `None`: it was refused in another way, or there is no answer.
    pub(super) async fn is_active(&self, failure: &CallError, refresh_token: &SecretString) -> Option<bool> {
        if !failure.is_bare() {
            return None;
        }
        let request = self.provider().refresh_token_introspection_request(self.client(), refresh_token);
        Some(self.introspect(fingerprint(refresh_token), request).await?.is_active())
    }

    async fn introspect(
        &self,
        asked_about: Fingerprint,
        request: Option<Request<Bytes>>,
    ) -> Option<IntrospectionResponse> {
        let asked = self.ask(self.introspection(), asked_about, request?, introspection::process);
        let failure = match timeout(PATIENCE, asked).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(failure)) => failure.into(),
            Err(_) => AuthError::new(Reason::ProviderTimeout),
        };
        let (provider, reason) = (self.provider().name(), failure.reason());
        tracing::warn!(provider, %reason, source = failure.source(), "a provider does not tell about a token");
        None
    }
}
