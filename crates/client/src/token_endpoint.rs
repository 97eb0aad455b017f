//! [`TokenEndpoint`]: the client of a token endpoint, for all grants; and [`ClientCredential`]: how the client authenticates itself.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Response, Uri};
use portcullis_core::{AuthError, Clock, Fingerprint, Issuer, Reason, SystemClock};
use portcullis_egress::{Egress, RequestKind};
use portcullis_oauth::{
    ClientAuthentication, ProtocolError, TokenRequest, TokenResponse, dpop, jwt::SigningKey, providers::Provider,
};
use portcullis_remote::{CallError, Endpoint, EndpointClient, EndpointKind};
use tokio::time::Instant;

use crate::{DpopKey, GrantError, TokenSource, dpop::unique_id};

/// The client of the token endpoint of an authorization server, for all grants. Clones share what is known about the endpoint.
///
/// 1. Its errors say what became of the presented credential ([`GrantErrorKind`](crate::GrantErrorKind)).
/// 2. An endpoint that fails gets one request per back-off window, and one that rejects the client itself (`invalid_client`) none for 5 s,
///    or for as long as it says.
/// 3. Redirects are not followed. It does **not** retry, except for a proof of possession that lacks the nonce of the server.
/// 4. An access token of another type than `Bearer` is refused; with a [DPoP key](Self::with_dpop), of another type than `DPoP`.
///
/// ```
/// use http::Uri;
/// use portcullis_client::{Issuer, TokenEndpoint};
/// use portcullis_egress::{Egress, EgressConfig};
/// use portcullis_oauth::ClientAuthentication;
///
/// let egress = Egress::new(EgressConfig::new())?;
/// let issuer = Issuer::new("https://as.example.com")?;
/// let client = ClientAuthentication::basic("nightly-report", "secret from a file".into());
/// let found = TokenEndpoint::discovered(egress.clone(), issuer.clone(), client.clone());
/// let given = TokenEndpoint::at(egress, issuer, Uri::from_static("https://as.example.com/token"), client);
/// assert_eq!((given.client_id(), given.issuer()), ("nightly-report", found.issuer()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct TokenEndpoint {
    issuer: Issuer,
    url: Endpoint,
    client: ClientCredential,
    calls: EndpointClient,
    clock: Arc<dyn Clock>,
    dpop: Option<DpopKey>,
    /// When the endpoint last accepted the credentials of the client, in this process.
    accepted_at: Arc<Mutex<Option<Instant>>>,
}

/// How the client authenticates itself at a token endpoint.
///
/// A client ID with a secret, or alone, is a [`ClientAuthentication`]; it converts into this type. Its `Debug` output is redacted.
#[derive(Clone, Debug)]
pub struct ClientCredential(Authentication);

#[derive(Clone, Debug)]
enum Authentication {
    Fixed(ClientAuthentication),
    PrivateKey { client_id: Box<str>, key: Arc<SigningKey>, typ: &'static str, audience: Option<Box<str>> },
    Assertion { client_id: Box<str>, source: TokenSource },
}

impl ClientCredential {
    /// Creates `private_key_jwt`: the client signs an assertion about itself for each request, with the issuer of the authorization server
    /// as its sole audience. The authorization server has its public key.
    /// [RFC 7523 section 2.2](https://www.rfc-editor.org/rfc/rfc7523#section-2.2)
    #[must_use]
    pub fn private_key_jwt(client_id: &str, key: SigningKey) -> Self {
        let (client_id, key) = (client_id.into(), Arc::new(key));
        Self(Authentication::PrivateKey { client_id, key, typ: "JWT", audience: None })
    }

    /// Creates a client that presents a JWT of a third party for each request: a workload whose platform names it.
    #[must_use]
    pub fn assertion(client_id: &str, source: TokenSource) -> Self {
        Self(Authentication::Assertion { client_id: client_id.into(), source })
    }

    /// Sets the audience of the assertions that this client signs. Default: the issuer.
    ///
    /// For an authorization server that accepts only the URL of its token endpoint, as RFC 7523 allowed. Its metadata must be trusted then:
    /// metadata that names the token endpoint of another server would make the client sign an assertion for it.
    #[must_use]
    pub fn with_assertion_audience(mut self, audience: &str) -> Self {
        if let Authentication::PrivateKey { audience: current, .. } = &mut self.0 {
            *current = Some(audience.into());
        }
        self
    }

    /// Sets the type in the header of the assertions that this client signs to `client-authentication+jwt`. Default: `JWT`, which every
    /// authorization server accepts. draft-ietf-oauth-rfc7523bis
    #[must_use]
    pub fn with_explicit_type(mut self) -> Self {
        if let Authentication::PrivateKey { typ, .. } = &mut self.0 {
            *typ = "client-authentication+jwt";
        }
        self
    }

    /// Reports whether the client is public: it presents its ID alone.
    fn is_public(&self) -> bool {
        matches!(&self.0, Authentication::Fixed(client) if client.method() == "none")
    }

    /// Returns the client ID.
    #[must_use]
    pub fn client_id(&self) -> &str {
        match &self.0 {
            Authentication::Fixed(client) => client.client_id(),
            Authentication::PrivateKey { client_id, .. } | Authentication::Assertion { client_id, .. } => client_id,
        }
    }

    /// Returns the authentication for one request.
    async fn for_request(&self, issuer: &Issuer, clock: &dyn Clock) -> Result<ClientAuthentication, GrantError> {
        match &self.0 {
            Authentication::Fixed(client) => Ok(client.clone()),
            Authentication::PrivateKey { client_id, key, typ, audience } => {
                let audience = audience.as_deref().unwrap_or_else(|| issuer.as_str());
                let jti = unique_id();
                Ok(ClientAuthentication::private_key_jwt(client_id, key, (typ, audience), &jti, clock.now()))
            }
            Authentication::Assertion { client_id, source } => {
                Ok(ClientAuthentication::assertion(client_id, source.token().await?))
            }
        }
    }
}

impl From<ClientAuthentication> for ClientCredential {
    fn from(client: ClientAuthentication) -> Self {
        Self(Authentication::Fixed(client))
    }
}

impl TokenEndpoint {
    /// Creates a client of the token endpoint `url` of `issuer`.
    #[must_use]
    pub fn at(egress: Egress, issuer: Issuer, url: Uri, client: impl Into<ClientCredential>) -> Self {
        Self::new(egress, issuer, Endpoint::at(url), client.into())
    }

    /// Creates a client of the token endpoint that the metadata of `issuer` names. The metadata is fetched at the first request, and
    /// again every hour; the last URL stays in use while that fails.
    #[must_use]
    pub fn discovered(egress: Egress, issuer: Issuer, client: impl Into<ClientCredential>) -> Self {
        let url = Endpoint::discovered(issuer.clone(), EndpointKind::Token, egress.clone());
        Self::new(egress, issuer, url, client.into())
    }

    fn new(egress: Egress, issuer: Issuer, url: Endpoint, client: ClientCredential) -> Self {
        // The owner of a credential decides when it is presented again.
        let calls = EndpointClient::new(egress, RequestKind::new("token")).with_unclear_refusal_pause(Duration::ZERO);
        let clock = Arc::new(SystemClock::new());
        Self { issuer, url, client, calls, clock, dpop: None, accepted_at: Arc::default() }
    }

    /// Sets the clock, for the assertions of the client and for a `Retry-After` that is a date. Default: [`SystemClock`]. The result
    /// shares nothing with earlier clones.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.calls = self.calls.with_clock(Arc::clone(&clock));
        self.accepted_at = Arc::default();
        self.clock = clock;
        self
    }

    /// Requests tokens that are bound to `key`: each request contains a proof that the client has it, and the response must say that the
    /// token is bound (`token_type` is `DPoP`). A refresh token of a public client is bound as well, so the key has to outlive it.
    /// [RFC 9449 section 5](https://www.rfc-editor.org/rfc/rfc9449#section-5)
    #[must_use]
    pub fn with_dpop(mut self, key: DpopKey) -> Self {
        self.dpop = Some(key);
        self
    }

    /// Sets the URL and the client. What is known about the endpoint stays.
    pub(crate) fn moved_to(mut self, url: Uri, client: impl Into<ClientCredential>) -> Self {
        self.url = Endpoint::at(url);
        self.client = client.into();
        self
    }

    /// Returns the authorization server.
    #[must_use]
    pub const fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// Returns the client ID.
    #[must_use]
    pub fn client_id(&self) -> &str {
        self.client.client_id()
    }

    /// Returns the key to which the tokens are bound.
    pub(crate) const fn dpop_key(&self) -> Option<&DpopKey> {
        self.dpop.as_ref()
    }

    /// Returns the clock.
    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Sends `request` and returns the tokens.
    ///
    /// # Errors
    /// [`GrantError`]: what became of the presented credential.
    pub async fn request(&self, request: &TokenRequest) -> Result<TokenResponse, GrantError> {
        let expected = if self.dpop.is_some() { "DPoP" } else { "Bearer" };
        self.exchange(request, expected).await
    }

    /// Sends `request` for a token of the type `token_type`. The further members of the response may have `issued_token_type`.
    pub(crate) async fn exchange(
        &self,
        request: &TokenRequest,
        token_type: &'static str,
    ) -> Result<TokenResponse, GrantError> {
        let url = self.url.url().await.map_err(GrantError::not_sent)?;
        // Only the token endpoint is used. Of its authorization endpoint nothing is known here.
        let server = Provider::oidc_at(self.issuer.clone(), url.clone(), url.clone()).with_vendor(|vendor| {
            if token_type != "Bearer" {
                vendor.token_types.push(token_type.into());
            }
            vendor.extra_members.push("issued_token_type".into());
        });
        let presented = request.fingerprint().unwrap_or_else(|| Fingerprint::of_credential(self.client_id()));
        // Read before the request is sent: a later acceptance says nothing about this request.
        let accepted_at = self.last_accepted();
        let mut nonce_was_asked = false;
        loop {
            let client = self.client.for_request(&self.issuer, &*self.clock).await?;
            let mut http = server.grant_request(&client, request);
            if let Some(proof) = self.proof(&url) {
                http.headers_mut().insert(dpop::PROOF, proof);
            }
            let process = |response: &_| self.process(&server, response, (&url, nonce_was_asked));
            match self.calls.send(presented, http, process).await {
                Ok(Some(tokens)) => {
                    self.note_accepted(&tokens);
                    check_type(&tokens, token_type)?;
                    return Ok(tokens);
                }
                // The server asks for its nonce before it looks at the grant.
                Ok(None) => nonce_was_asked = true,
                // The proof is refused, and the grant was not looked at.
                Err(CallError::Protocol(error)) if is_about_proof(&error) => {
                    return Err(GrantError::misconfigured(AuthError::new(Reason::ClientRefused).with_source(error)));
                }
                Err(error) => return Err(GrantError::from(error).with_accepted_at(accepted_at)),
            }
        }
    }

    fn proof(&self, url: &Uri) -> Option<HeaderValue> {
        Some(self.dpop.as_ref()?.proof(&Method::POST, url, None))
    }

    /// Returns the tokens, or `None` if the same request has to be sent again with the nonce of the server.
    fn process(
        &self,
        server: &Provider,
        response: &Response<Bytes>,
        (url, nonce_was_asked): (&Uri, bool),
    ) -> Result<Option<TokenResponse>, ProtocolError> {
        if let Some(key) = &self.dpop {
            key.note_nonce(url, response.headers());
            if !nonce_was_asked && dpop::token_endpoint_asks_for_nonce(response) {
                return Ok(None);
            }
        }
        server.process_token(response, self.clock.now()).map(Some)
    }

    /// Returns when the endpoint last accepted the credentials of the client. A client without credentials has none that could be refused.
    fn last_accepted(&self) -> Option<Instant> {
        if self.client.is_public() {
            return Some(Instant::now());
        }
        *self.accepted_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_accepted(&self, tokens: &TokenResponse) {
        *self.accepted_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        // Where refresh tokens rotate, the presented one is spent, and this one is valid.
        if let Some(issued) = &tokens.refresh_token {
            self.calls.accept(TokenRequest::refresh_token(issued).fingerprint().expect("it presents a refresh token"));
        }
    }
}

/// Rejects tokens of another type than the requested one. What was presented for them is spent.
fn check_type(tokens: &TokenResponse, expected: &str) -> Result<(), GrantError> {
    let found = &tokens.token_type;
    // The types of plain tokens were compared when the response was processed.
    if expected == "Bearer" || found.eq_ignore_ascii_case(expected) {
        return Ok(());
    }
    let advice = if expected == "DPoP" { ": it does not support DPoP for this client" } else { "" };
    let problem = format!("the server issued a token of the type {found:?} and not {expected:?}{advice}");
    Err(GrantError::ambiguous(AuthError::new(Reason::ProviderMisbehaved).with_source(problem)))
}

/// Reports whether a refusal is about the proof of possession. [RFC 9449 section 12.2](https://www.rfc-editor.org/rfc/rfc9449#section-12.2)
fn is_about_proof(error: &ProtocolError) -> bool {
    const CODES: [&str; 2] = ["invalid_dpop_proof", "use_dpop_nonce"];
    matches!(error, ProtocolError::UnknownRefusal { code: Some(code), .. } if CODES.contains(&&**code))
}

impl fmt::Debug for TokenEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenEndpoint")
            .field("issuer", &self.issuer)
            .field("url", &self.url)
            .field("client_id", &self.client_id())
            .field("dpop", &self.dpop)
            .finish_non_exhaustive()
    }
}
