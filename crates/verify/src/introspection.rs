//! [`IntrospectionVerifier`]: verifies tokens by introspection at the authorization server.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::Uri;
use portcullis_core::{AuthError, BearerToken, Clock, Issuer, Reason, SystemClock, UserContext};
use portcullis_egress::{Egress, RequestKind};
use portcullis_oauth::{
    Claims, ClientAuthentication, ProtocolError, Verified,
    introspection::{self, IntrospectionPolicy},
};
use portcullis_remote::{Endpoint, EndpointClient, EndpointKind};
use tower_service::Service;

use crate::issuer_router::DEFAULT_MAX_LEN;

/// A verifier that introspects each token at the authorization server: opaque tokens, and JWTs as well.
///
/// 1. The size of the token is checked before a request is sent.
/// 2. The response is checked by an [`IntrospectionPolicy`]: *active* does not mean *for this server*.
/// 3. A rejection of *this server's* credentials (`invalid_client`) is [`Reason::ClientRefused`] (503) and an error in the log, never the
///    token's fault.
/// 4. Another refusal is about this one token: `invalid_token` refuses it; anything else is [`Reason::ClientRefused`] for this token alone,
///    which is introspected again after 5 s.
/// 5. A failing provider gets one call per back-off window, and a token that makes it fail is paused on its own: see
///    [`CircuitBreaker`](portcullis_egress::CircuitBreaker).
///
/// Each verification is a call to the provider: put a [`CacheLayer`](crate::CacheLayer) around it. It does **not** check scopes.
/// [RFC 7662](https://www.rfc-editor.org/rfc/rfc7662)
///
/// ```
/// use portcullis_core::{Issuer, ResourceUri};
/// use portcullis_egress::{Egress, EgressConfig};
/// use portcullis_oauth::{ClientAuthentication, introspection::IntrospectionPolicy};
/// use portcullis_verify::IntrospectionVerifier;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let issuer = Issuer::new("https://idp.example.com")?;
/// let policy = IntrospectionPolicy::new(issuer, ResourceUri::new("https://mcp.example.com/mcp")?);
/// let client = ClientAuthentication::basic("mcp-server", "secret from a file".into());
/// let egress = Egress::new(EgressConfig::new())?;
/// let verifier = IntrospectionVerifier::new(policy, client, egress);
/// assert_eq!(verifier.issuer().as_str(), "https://idp.example.com");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct IntrospectionVerifier {
    policy: Arc<IntrospectionPolicy>,
    client: Arc<ClientAuthentication>,
    endpoint: Endpoint,
    requests: EndpointClient,
    clock: Arc<dyn Clock>,
    max_len: usize,
}

impl IntrospectionVerifier {
    /// Creates a verifier for tokens of the issuer of `policy`, which is called as `client`. The endpoint is found in the issuer's metadata.
    #[must_use]
    pub fn new(policy: IntrospectionPolicy, client: ClientAuthentication, egress: Egress) -> Self {
        Self {
            endpoint: Endpoint::discovered(policy.issuer().clone(), EndpointKind::Introspection, egress.clone()),
            policy: Arc::new(policy),
            client: Arc::new(client),
            requests: EndpointClient::new(egress, RequestKind::new("introspection")),
            clock: Arc::new(SystemClock::new()),
            max_len: DEFAULT_MAX_LEN,
        }
    }

    /// Sets the clock for the lifetimes of tokens and for `Retry-After`. Default: [`SystemClock`].
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.requests = self.requests.with_clock(Arc::clone(&clock));
        self.clock = clock;
        self
    }

    /// Sets the endpoint, which is then not looked up.
    #[must_use]
    pub fn with_endpoint(mut self, endpoint: Uri) -> Self {
        self.endpoint = Endpoint::at(endpoint);
        self
    }

    /// Sets the longest token that is sent, in bytes. Default: 16 KiB.
    #[must_use]
    pub const fn with_max_len(mut self, max_len: usize) -> Self {
        self.max_len = max_len;
        self
    }

    /// Returns the issuer of the tokens.
    #[must_use]
    pub fn issuer(&self) -> &Issuer {
        self.policy.issuer()
    }

    pub(crate) async fn introspect(&self, token: &BearerToken) -> Result<Verified<Claims>, AuthError> {
        if token.len() > self.max_len {
            return Err(AuthError::new(Reason::TokenTooLarge));
        }
        let endpoint = self.endpoint.url().await?;
        let request = introspection::request(&endpoint, &self.client, token);
        let process = |response: &_| {
            let introspected = introspection::process_for(&self.client, response)?;
            // The response "not active" does not count as an accepted token.
            if introspected.is_active() { Ok(introspected) } else { Err(ProtocolError::TokenRefused) }
        };
        let response = self.requests.verify(token, request, process).await?;
        self.policy.check(response, self.clock.now())
    }
}

impl Service<BearerToken> for IntrospectionVerifier {
    type Response = Arc<UserContext>;
    type Error = AuthError;
    type Future = Pin<Box<dyn Future<Output = Result<Arc<UserContext>, AuthError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), AuthError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, token: BearerToken) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let claims = this.introspect(&token).await?;
            Ok(Arc::new(claims.into_user_context()?.build()))
        })
    }
}
