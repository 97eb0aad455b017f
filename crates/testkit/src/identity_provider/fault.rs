//! What an identity provider does wrong on demand: [`Fault`], a fault of an endpoint, and forged tokens and responses.

use std::sync::Arc;

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{RETRY_AFTER, WWW_AUTHENTICATE},
};

use super::{AuthorizationResponse, IdentityProvider, TokenBuilder, messages};

/// A fault of an endpoint, in place of its response. By default it applies to every call, and the request is not processed.
///
/// ```
/// use portcullis_testkit::{Endpoint, Fault, IdentityProvider};
///
/// let provider = IdentityProvider::new();
/// provider.set_fault(Endpoint::Introspection, Fault::status(503));
/// provider.set_fault(Endpoint::UserInfo, Fault::status(429).with_retry_after("60"));
/// provider.set_fault(Endpoint::KeySet, Fault::body("text/html", "<h1>Maintenance</h1>"));
/// // The refresh token has been rotated, and the response is lost.
/// provider.set_fault(Endpoint::Token, Fault::disconnect().after_processing().times(1));
/// for endpoint in Endpoint::ALL {
///     provider.heal(endpoint);
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Fault {
    kind: Kind,
    after_processing: bool,
    times: Option<usize>,
}

#[derive(Clone, Debug)]
enum Kind {
    Hang,
    Disconnect,
    Answer(Response<Bytes>),
}

/// The connection broke off before there was a response: the error of [`Fault::disconnect`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the connection broke off")]
#[non_exhaustive]
pub struct Disconnected;

impl Fault {
    /// Creates a fault that never responds.
    #[must_use]
    pub const fn hang() -> Self {
        Self::of(Kind::Hang)
    }

    /// Closes the connection without a response.
    #[must_use]
    pub const fn disconnect() -> Self {
        Self::of(Kind::Disconnect)
    }

    /// Creates a response with this status, and an OAuth error for it.
    ///
    /// # Panics
    /// If `status` is not between 100 and 999.
    #[must_use]
    pub fn status(status: u16) -> Self {
        let status = StatusCode::from_u16(status).expect("a status is between 100 and 999");
        let error = match status {
            StatusCode::UNAUTHORIZED => "invalid_client",
            status if status.is_client_error() => "invalid_request",
            _ => "server_error",
        };
        Self::answer(messages::json(status, &serde_json::json!({ "error": error })))
    }

    /// Creates a response of status 200 with another body: malformed JSON, metadata of another issuer, an HTML page.
    #[must_use]
    pub fn body(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self::answer(messages::body(StatusCode::OK, content_type, body))
    }

    /// Sets the header `Retry-After`: seconds, or a date. A fault without a response ignores it.
    #[must_use]
    pub fn with_retry_after(mut self, value: &'static str) -> Self {
        if let Kind::Answer(response) = &mut self.kind {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(value));
        }
        self
    }

    /// Sets the header `WWW-Authenticate`. A fault without a response ignores it.
    #[must_use]
    pub fn with_challenge(mut self, value: &'static str) -> Self {
        if let Kind::Answer(response) = &mut self.kind {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(value));
        }
        self
    }

    /// Processes the request first; the fault replaces the response, which is lost.
    #[must_use]
    pub const fn after_processing(mut self) -> Self {
        self.after_processing = true;
        self
    }

    /// Limits the fault to the next `times` calls.
    #[must_use]
    pub const fn times(mut self, times: usize) -> Self {
        self.times = Some(times);
        self
    }

    /// Creates a fault that returns `response`.
    #[must_use]
    pub const fn answer(response: Response<Bytes>) -> Self {
        Self::of(Kind::Answer(response))
    }

    const fn of(kind: Kind) -> Self {
        Self { kind, after_processing: false, times: None }
    }

    pub(super) const fn comes_after_processing(&self) -> bool {
        self.after_processing
    }

    /// Reports whether the fault applies to this call, and counts the call.
    pub(super) fn strikes(&mut self) -> bool {
        let Some(times) = &mut self.times else { return true };
        let strikes = *times > 0;
        *times = times.saturating_sub(1);
        strikes
    }

    pub(super) async fn respond(self) -> Result<Response<Bytes>, Disconnected> {
        match self.kind {
            Kind::Hang => std::future::pending().await,
            Kind::Disconnect => Err(Disconnected),
            Kind::Answer(response) => Ok(response),
        }
    }
}

/// A change of a value before it is sent.
type Forge<T> = Arc<dyn Fn(T) -> T + Send + Sync>;

/// The changes that a test has set.
#[derive(Default)]
pub(super) struct Forgeries {
    id_token: Option<Forge<TokenBuilder>>,
    callback: Option<Forge<AuthorizationResponse>>,
}

impl IdentityProvider {
    /// Lets `forge` change every ID token before it is signed: claims, header, and signature.
    ///
    /// ```
    /// use portcullis_testkit::{IdentityProvider, KeyAlgorithm};
    ///
    /// let provider = IdentityProvider::new();
    /// provider.forge_id_tokens(|id_token| id_token.with_claim("nonce", "of another login"));
    /// provider.forge_id_tokens(|id_token| id_token.unsigned());
    ///
    /// // Signed by a key that is not in the key set.
    /// let kid = provider.add_key(KeyAlgorithm::Rs256);
    /// provider.retire_old_keys();
    /// provider.forge_id_tokens(move |id_token| id_token.signed_by(&kid));
    /// provider.stop_forging();
    /// ```
    pub fn forge_id_tokens(&self, forge: impl Fn(TokenBuilder) -> TokenBuilder + Send + Sync + 'static) {
        self.state().forgeries.id_token = Some(Arc::new(forge));
    }

    /// Lets `forge` change every authorization response before the redirect to the client.
    ///
    /// ```
    /// use portcullis_testkit::IdentityProvider;
    ///
    /// let provider = IdentityProvider::new();
    /// provider.forge_callbacks(|response| response.with("iss", "https://other.example.test"));
    /// provider.forge_callbacks(|response| response.without("code").with("error", "server_error"));
    /// provider.stop_forging();
    /// ```
    pub fn forge_callbacks(
        &self,
        forge: impl Fn(AuthorizationResponse) -> AuthorizationResponse + Send + Sync + 'static,
    ) {
        self.state().forgeries.callback = Some(Arc::new(forge));
    }

    /// Removes both changes.
    pub fn stop_forging(&self) {
        self.state().forgeries = Forgeries::default();
    }

    pub(super) fn forged_id_token(&self, id_token: TokenBuilder) -> TokenBuilder {
        // Called without the lock: the test may ask the provider something.
        let forge = self.state().forgeries.id_token.clone();
        forge.into_iter().fold(id_token, |id_token, forge| forge(id_token))
    }

    pub(super) fn forged_callback(&self, callback: AuthorizationResponse) -> AuthorizationResponse {
        let forge = self.state().forgeries.callback.clone();
        forge.into_iter().fold(callback, |callback, forge| forge(callback))
    }
}
