//! [`McpLogin`]: the grant of a user who logs in by a browser, at the authorization server that the MCP server names.

use std::{
    collections::HashMap,
    error::Error as _,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use portcullis_core::{AuthError, Challenge, Clock, Fingerprint, Issuer, Reason, ResourceUri, ScopeSet, SystemClock};
use portcullis_egress::{Egress, RequestKind};
use portcullis_oauth::{
    ClientAuthentication, ProtocolError, TokenResponse, dpop,
    providers::Provider,
    registration::{ClientDocumentUrl, ClientMetadata},
};
use portcullis_remote::{EndpointClient, SingleFlight};
use portcullis_store::{KeyRing, MemoryStore, SealedStore};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::timeout;

use crate::{
    Binding, Discovery, DpopKey, Grant, GrantError, GrantErrorKind, GrantFuture, LoginError, UserAgent,
    login::{PendingLogin, provider, with_offline_access},
    loopback::Page,
    registration::{Clients, KnownClient},
};

/// How long a user has to complete a login.
const TIME_LIMIT: Duration = Duration::from_mins(5);

/// The grant of a user who logs in by a browser: authorization code with PKCE, at the authorization server that the metadata of the MCP
/// server names, as a client that is configured, described by a document or registered there. Clones share everything.
///
/// 1. [Discovery](crate::Discovery) finds the authorization server. If the resource names another one later, this is another binding, with
///    another client and other tokens: nothing of the old one is sent to the new one.
/// 2. The client is a [configured](Self::with_client) one of this issuer; else the URL of a
///    [document](Self::with_client_document), if the server accepts it; else one that registers itself, once, and is kept in the
///    [store](Self::with_store) with its secret.
/// 3. Both requests of a login name the `resource`. The response counts only with the `state` of the login, and if its issuer (`iss`) is the
///    one of the request. A server that does not state that it supports PKCE with `S256` is not used.
/// 4. A login requests the scopes that are asked for and those of the last challenge; without either, those that the resource advertises.
///    `offline_access` is added if the authorization server advertises it.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use portcullis_client::{Grant, McpLogin, ResourceUri, UserAgent};
/// use portcullis_egress::{Egress, EgressConfig};
/// use portcullis_oauth::registration::ClientMetadata;
///
/// let resource = ResourceUri::new("https://mcp.example.com/mcp")?;
/// let egress = Egress::new(EgressConfig::new())?;
/// let browser = UserAgent::loopback(|url| Ok(println!("Open {url}")));
/// let login = McpLogin::new(resource, ClientMetadata::new("My client"), browser, egress);
/// assert!(login.is_interactive());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct McpLogin(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    resource: ResourceUri,
    discovery: Discovery,
    clients: Clients,
    user_agent: UserAgent,
    scopes: ScopeSet,
    subject: Option<Box<str>>,
    prompt: Option<Box<str>>,
    time_limit: Duration,
    dpop: Option<DpopKey>,
    clock: Arc<dyn Clock>,
    state: Arc<Mutex<State>>,
    resolutions: SingleFlight<Option<String>, Result<Binding, GrantError>>,
}

#[derive(Default)]
struct State {
    /// The last binding that was resolved or used.
    binding: Option<Binding>,
    /// The scopes of the challenges since the last login.
    challenged: ScopeSet,
    token_endpoints: HashMap<Issuer, EndpointClient>,
}

impl McpLogin {
    /// Creates the grant for the MCP server at `resource`, whose users see the name of `client`. All requests but those of the browser are
    /// sent by `egress`.
    #[must_use]
    pub fn new(resource: ResourceUri, client: ClientMetadata, user_agent: UserAgent, egress: Egress) -> Self {
        let failed = |error| Err(GrantError::not_sent(AuthError::new(Reason::VerifierFailed).with_source(error)));
        let store = SealedStore::new(Arc::new(MemoryStore::new()), KeyRing::ephemeral());
        let store = store.expect("a store in memory needs no lasting key");
        Self(Arc::new(Inner {
            resource,
            clients: Clients {
                metadata: client,
                configured: Vec::new(),
                document: None,
                store,
                egress: egress.clone(),
            },
            discovery: Discovery::new(egress),
            user_agent,
            scopes: ScopeSet::default(),
            subject: None,
            prompt: None,
            time_limit: TIME_LIMIT,
            dpop: None,
            clock: Arc::new(SystemClock::new()),
            state: Arc::default(),
            resolutions: SingleFlight::new(failed),
        }))
    }

    /// Adds a client that is registered at `issuer`, whatever the authorization server of the resource is. It is used at this issuer only.
    #[must_use]
    pub fn with_client(self, issuer: Issuer, client: ClientAuthentication) -> Self {
        self.edit(|inner| inner.clients.configured.push((issuer, client)))
    }

    /// Sets the URL at which the [document](ClientMetadata::to_document) of this client is published. The redirect URI of the user agent must
    /// be in it.
    #[must_use]
    pub fn with_client_document(self, url: ClientDocumentUrl) -> Self {
        self.edit(|inner| inner.clients.document = Some(url))
    }

    /// Sets where registered clients are kept. Default: the memory of this process, so that each process registers a client of its own.
    #[must_use]
    pub fn with_store(self, store: SealedStore) -> Self {
        self.edit(|inner| inner.clients.store = store)
    }

    /// Shares the cache of `discovery`. Default: a cache of its own.
    #[must_use]
    pub fn with_discovery(self, discovery: Discovery) -> Self {
        self.edit(|inner| inner.discovery = discovery)
    }

    /// Sets the scopes that each login requests. Default: those of the challenge, else those that the resource advertises.
    #[must_use]
    pub fn with_scopes(self, scopes: ScopeSet) -> Self {
        self.edit(|inner| inner.scopes = scopes)
    }

    /// Sets the user or tenant for whom the tokens are. Default: none, for an application with one user.
    #[must_use]
    pub fn with_subject(self, subject: &str) -> Self {
        self.edit(|inner| inner.subject = Some(subject.into()))
    }

    /// Sets the parameter `prompt` of the authorization request, such as `select_account`. Default: `consent` together with
    /// `offline_access`, as [OpenID Connect Core 1.0 section 11](https://openid.net/specs/openid-connect-core-1_0.html#OfflineAccess)
    /// requires it, else omitted.
    #[must_use]
    pub fn with_prompt(self, prompt: &str) -> Self {
        self.edit(|inner| inner.prompt = Some(prompt.into()))
    }

    /// Sets how long a user has to complete a login. Default: 5 minutes.
    #[must_use]
    pub fn with_time_limit(self, limit: Duration) -> Self {
        self.edit(|inner| inner.time_limit = limit)
    }

    /// Requests tokens that are bound to `key`. A [`TokenLayer`](crate::TokenLayer) presents them with proofs.
    /// [RFC 9449](https://www.rfc-editor.org/rfc/rfc9449)
    #[must_use]
    pub fn with_dpop(self, key: DpopKey) -> Self {
        self.edit(|inner| inner.dpop = Some(key))
    }

    /// Sets the clock for the expiry of tokens. Default: [`SystemClock`].
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        self.edit(|inner| inner.clock = clock)
    }

    fn edit(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn resolve(&self, challenge: Option<Challenge>) -> Result<Binding, GrantError> {
        let known = self.state().binding.clone();
        let challenge = match (&known, challenge) {
            (Some(binding), None) => return Ok(binding.clone()),
            (_, challenge) => challenge,
        };
        if let Some(scopes) = challenge.as_ref().and_then(|challenge| challenge.param("scope")) {
            let mut state = self.state();
            state.challenged = state.challenged.union(&ScopeSet::parse(scopes).unwrap_or_default());
        }
        let found = self.discovery.resource(&self.resource, challenge.as_ref()).await;
        let metadata = match (found, &known) {
            (Ok(metadata), _) => metadata,
            (Err(error), Some(binding)) if is_outage(&error) => return Ok(binding.clone()),
            (Err(error), _) => return Err(undiscovered(error)),
        };
        let (resource, issuer) = match &metadata {
            Some(metadata) => {
                (metadata.resource().clone(), self.choose(metadata.authorization_servers(), known.as_ref()))
            }
            // The revision 2025-03-26 of MCP: the authorization server is at the origin of the resource.
            None => (self.resource.clone(), Issuer::new(self.resource.origin()).ok()),
        };
        let issuer =
            issuer.ok_or_else(|| undiscovered(ProtocolError::InvalidMember("authorization_servers").into()))?;
        if let Some(binding) = known.filter(|known| known.resource == resource && known.issuer == issuer) {
            return Ok(binding);
        }
        let client_id = self.identify(&issuer).await?;
        let mut binding = Binding::new(resource, issuer, &client_id).with_scopes(self.scopes.clone());
        binding.subject.clone_from(&self.subject);
        tracing::debug!(resource = %binding.resource, issuer = %binding.issuer, client_id, "resolved the authorization server");
        self.state().binding = Some(binding.clone());
        Ok(binding)
    }

    /// Chooses one of the authorization servers of the resource: the one in use, else one where a client is configured, else the first.
    fn choose(&self, servers: &[Issuer], known: Option<&Binding>) -> Option<Issuer> {
        let in_use = servers.iter().find(|server| known.is_some_and(|known| known.issuer == **server));
        let configured = || servers.iter().find(|server| self.clients.configured_issuers().any(|own| own == *server));
        in_use.or_else(configured).or_else(|| servers.first()).cloned()
    }

    /// Returns the id of the client at `issuer`. Without a request, if it is configured.
    async fn identify(&self, issuer: &Issuer) -> Result<String, GrantError> {
        if let Some(client) = self.clients.configured_at(issuer) {
            return Ok(client.client_id().to_owned());
        }
        let server = self.discovery.server_of(issuer, &self.resource).await.map_err(undiscovered)?;
        let redirect_uri = async || {
            let redirect = self.user_agent.start(&[]).await.map_err(|error| LoginError::UserAgent(error.into()))?;
            Ok(redirect.uri().to_owned())
        };
        self.clients.identify(&server, redirect_uri).await
    }

    async fn log_in(&self, binding: &Binding, asked: &ScopeSet) -> Result<TokenResponse, GrantError> {
        let server = self.discovery.server_of(&binding.issuer, &self.resource).await.map_err(undiscovered)?;
        let client = self.client(binding).await?;
        let asked = asked.union(&self.state().challenged);
        let needed = if asked.is_empty() {
            let metadata = self.discovery.resource(&self.resource, None).await.map_err(undiscovered)?;
            metadata.map(|metadata| metadata.scopes_supported()).unwrap_or_default()
        } else {
            asked
        };
        let scopes = with_offline_access(needed, &server);
        let redirect = self.user_agent.start(&client.redirect_uris).await;
        let mut redirect = redirect.map_err(|error| LoginError::UserAgent(error.into()))?;
        let login = PendingLogin::begin(&server, &binding.resource, redirect.uri())?;
        let consent = scopes.contains("offline_access").then_some("consent");
        let url = login.url(&binding.client_id, &binding.resource, &scopes, self.prompt.as_deref().or(consent))?;

        let arrival = timeout(self.time_limit, redirect.arrival(&url, |query| login.is_answered_by(query))).await;
        let arrival = arrival.map_err(|_| LoginError::TimedOut)?.map_err(LoginError::UserAgent)?;
        drop(redirect);
        let outcome = match login.code(&arrival.query) {
            Ok(code) => self.redeem(binding, &client, &login, &code).await,
            Err(error) => {
                arrival.show(Page::Failed(error.to_string()));
                return Err(error.into());
            }
        };
        match outcome {
            Ok(mut tokens) => {
                arrival.show(Page::Done);
                self.state().challenged = ScopeSet::default();
                // Omitted: those of the request were granted.
                tokens.scopes.get_or_insert(scopes);
                Ok(tokens)
            }
            Err(error) => {
                arrival.show(Page::Failed("The authorization server has not issued a token.".to_owned()));
                Err(self.failed(binding, error).await)
            }
        }
    }

    async fn redeem(
        &self,
        binding: &Binding,
        client: &KnownClient,
        login: &PendingLogin,
        code: &SecretString,
    ) -> Result<TokenResponse, GrantError> {
        let request = login.provider.code_request(&client.authentication, code, login.redirect_uri(), &login.verifier);
        self.request_tokens(binding, code, request, |response| login.provider.process_token(response, self.clock.now()))
            .await
    }

    async fn refresh(&self, binding: &Binding, refresh_token: &SecretString) -> Result<TokenResponse, GrantError> {
        let server = self.discovery.server_of(&binding.issuer, &self.resource).await.map_err(undiscovered)?;
        let client = self.client(binding).await?;
        let provider: Provider = provider(&server, &binding.resource).map_err(LoginError::Metadata)?;
        let request = provider.refresh_request(&client.authentication, refresh_token);
        let process = |response: &_| provider.process_refresh(response, self.clock.now());
        match self.request_tokens(binding, refresh_token, request, process).await {
            Ok(tokens) => Ok(tokens),
            Err(error) => Err(self.failed(binding, error).await),
        }
    }

    async fn request_tokens(
        &self,
        binding: &Binding,
        presented: &SecretString,
        request: Request<Bytes>,
        process: impl Fn(&Response<Bytes>) -> Result<TokenResponse, ProtocolError>,
    ) -> Result<TokenResponse, GrantError> {
        let endpoint = {
            let new = || {
                EndpointClient::new(self.clients.egress.clone(), RequestKind::new("token"))
                    .with_unclear_refusal_pause(Duration::ZERO)
                    .with_clock(Arc::clone(&self.clock))
            };
            self.state().token_endpoints.entry(binding.issuer.clone()).or_insert_with(new).clone()
        };
        let presented = Fingerprint::of_credential(presented.expose_secret());
        let mut nonce_was_asked = false;
        loop {
            let mut request = request.clone();
            let url = request.uri().clone();
            if let Some(key) = &self.dpop {
                let proof = key.proof(request.method(), &url, None);
                request.headers_mut().insert(dpop::PROOF, proof);
            }
            let process = |response: &Response<Bytes>| {
                if let Some(key) = &self.dpop {
                    key.note_nonce(&url, response.headers());
                    if !nonce_was_asked && dpop::token_endpoint_asks_for_nonce(response) {
                        return Ok(None);
                    }
                }
                let tokens = process(response)?;
                if self.dpop.is_some() == tokens.token_type.eq_ignore_ascii_case("DPoP") {
                    return Ok(Some(tokens));
                }
                Err(ProtocolError::InvalidMember("token_type"))
            };
            match endpoint.send(presented, request, process).await.map_err(GrantError::from)? {
                Some(tokens) => return Ok(tokens),
                // The server asks for its nonce before it looks at the code.
                None => nonce_was_asked = true,
            }
        }
    }

    /// Returns the client of `binding`. If it is not registered any more, the next resolution registers another one.
    async fn client(&self, binding: &Binding) -> Result<KnownClient, GrantError> {
        let client = self.clients.known(&binding.issuer, &binding.client_id).await;
        if client.as_ref().is_err_and(|error| error.kind() == GrantErrorKind::Misconfigured) {
            self.state().binding.take_if(|known| known == binding);
        }
        client
    }

    /// Reads from the `error` of a token request what is not valid any more: the metadata, or a registered client.
    async fn failed(&self, binding: &Binding, error: GrantError) -> GrantError {
        let protocol = error.cause().source().and_then(|source| source.downcast_ref());
        let (is_unknown, is_elsewhere) = match protocol {
            Some(error @ ProtocolError::ClientRefused { status, .. }) => (error.is_invalid_client(), is_gone(*status)),
            Some(ProtocolError::UnknownRefusal { status, .. } | ProtocolError::UnexpectedStatus(status)) => {
                (false, is_gone(*status))
            }
            _ => (false, false),
        };
        if is_unknown || is_elsewhere {
            self.discovery.invalidate_server(&binding.issuer);
        }
        if is_unknown {
            match self.clients.forget(&binding.issuer, &binding.client_id).await {
                Ok(true) => {
                    let mut state = self.state();
                    state.binding = None;
                    // It pauses after a rejection, which was about the client that is no more.
                    state.token_endpoints.remove(&binding.issuer);
                }
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot remove a client that the authorization server does not know")
                }
            }
        }
        error
    }

    /// Keeps a binding that was resolved by another process, or before a restart.
    fn remember(&self, binding: &Binding) {
        self.state().binding.get_or_insert_with(|| binding.clone());
    }
}

/// Reports whether an endpoint is not where it was.
fn is_gone(status: StatusCode) -> bool {
    status == StatusCode::NOT_FOUND || status == StatusCode::METHOD_NOT_ALLOWED
}

/// Reports whether metadata could not be fetched, in contrast to metadata that is invalid.
fn is_outage(error: &AuthError) -> bool {
    !matches!(error.reason(), Reason::ClientRefused | Reason::ProviderMisbehaved)
}

/// Returns the error for metadata that cannot be fetched or used. No credential was presented.
fn undiscovered(error: AuthError) -> GrantError {
    if is_outage(&error) {
        return GrantError::not_sent(error);
    }
    GrantError::misconfigured(AuthError::new(Reason::ClientRefused).with_source(error))
}

impl Grant for McpLogin {
    fn resource(&self) -> &ResourceUri {
        &self.0.resource
    }

    fn name(&self) -> &'static str {
        "authorization_code"
    }

    fn resolve<'a>(&'a self, challenge: Option<&'a Challenge>) -> GrantFuture<'a, Binding> {
        // Challenges that name the same metadata and scopes are answered by one resolution.
        let (key, challenge) = (challenge.map(ToString::to_string), challenge.cloned());
        let inner = Arc::clone(&self.0);
        Box::pin(self.0.resolutions.join(key, || async move { inner.resolve(challenge).await }))
    }

    fn obtain<'a>(&'a self, binding: &'a Binding, scopes: &'a ScopeSet) -> GrantFuture<'a, TokenResponse> {
        self.0.remember(binding);
        Box::pin(self.0.log_in(binding, scopes))
    }

    fn refresh<'a>(&'a self, binding: &'a Binding, refresh_token: &'a SecretString) -> GrantFuture<'a, TokenResponse> {
        self.0.remember(binding);
        Box::pin(self.0.refresh(binding, refresh_token))
    }

    fn stored_as(&self) -> Option<String> {
        let Inner { clients, scopes, subject, .. } = &*self.0;
        let configured = clients.configured.iter().map(|(issuer, client)| (issuer.as_str(), client.client_id()));
        let document = clients.document.as_ref().map(ClientDocumentUrl::as_str);
        let parts = (clients.metadata.name(), configured.collect::<Vec<_>>(), document, scopes, subject);
        serde_json::to_string(&parts).ok()
    }

    fn is_interactive(&self) -> bool {
        true
    }

    fn dpop_key(&self) -> Option<&DpopKey> {
        self.0.dpop.as_ref()
    }
}

impl fmt::Debug for McpLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("McpLogin")
            .field("resource", &self.0.resource)
            .field("client", &self.0.clients.metadata.name())
            .field("user_agent", &self.0.user_agent)
            .finish_non_exhaustive()
    }
}
