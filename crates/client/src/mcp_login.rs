//! [`McpLogin`]: the grant of a user who logs in by a browser, at the authorization server that the MCP server names.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use portcullis_core::{AuthError, Challenge, Clock, Issuer, Reason, ResourceUri, ScopeSet, SystemClock};
use portcullis_egress::Egress;
use portcullis_oauth::{
    ClientAuthentication, TokenResponse,
    jwt::SigningKey,
    registration::{ClientDocumentUrl, ClientMetadata},
};
use portcullis_remote::SingleFlight;
use portcullis_store::{KeyRing, MemoryStore, SealedStore};
use secrecy::SecretString;

use crate::{
    Binding, ClientCredential, Discovery, DpopKey, Grant, GrantError, GrantFuture, TokenEndpoint, UserAgent,
    registration::Clients,
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
pub(crate) struct Inner {
    pub(crate) resource: ResourceUri,
    pub(crate) discovery: Discovery,
    pub(crate) clients: Clients,
    pub(crate) user_agent: UserAgent,
    pub(crate) scopes: ScopeSet,
    pub(crate) subject: Option<Box<str>>,
    pub(crate) prompt: Option<Box<str>>,
    pub(crate) time_limit: Duration,
    pub(crate) dpop: Option<DpopKey>,
    pub(crate) clock: Arc<dyn Clock>,
    state: Arc<Mutex<State>>,
    resolutions: Resolutions,
}

type Resolutions = SingleFlight<Option<String>, Result<Binding, GrantError>>;

fn resolutions() -> Resolutions {
    SingleFlight::new(|error| Err(GrantError::not_sent(AuthError::new(Reason::VerifierFailed).with_source(error))))
}

#[derive(Default)]
pub(crate) struct State {
    /// The last binding that was resolved or restored.
    pub(crate) binding: Option<Binding>,
    /// The scopes of the last challenge that named some, until a login requests them.
    pub(crate) challenged: ScopeSet,
    /// How many authorization codes are being exchanged for tokens.
    pub(crate) redeeming: usize,
    pub(crate) token_endpoints: HashMap<Issuer, TokenEndpoint>,
}

impl McpLogin {
    /// Creates the grant for the MCP server at `resource`, whose users see the name of `client`. All requests but those of the browser are
    /// sent by `egress`.
    #[must_use]
    pub fn new(resource: ResourceUri, client: ClientMetadata, user_agent: UserAgent, egress: Egress) -> Self {
        let store = SealedStore::new(Arc::new(MemoryStore::new()), KeyRing::ephemeral());
        let store = store.expect("a store in memory needs no lasting key");
        Self(Arc::new(Inner {
            resource,
            clients: Clients {
                metadata: client,
                redirect_uri: user_agent.redirect_uri().into(),
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
            resolutions: resolutions(),
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
        let credential = ClientAuthentication::public(url.as_str()).into();
        self.edit(|inner| inner.clients.document = Some((url, credential)))
    }

    /// Sets the URL of the [document](ClientMetadata::to_document) of a client that has a key. The document names the
    /// [public part](ClientMetadata::with_key), and the client authenticates itself by an assertion that `key` signs (`private_key_jwt`).
    /// Not for a key that is in each copy of a program: such a key is no secret.
    #[must_use]
    pub fn with_confidential_client_document(self, url: ClientDocumentUrl, key: SigningKey) -> Self {
        let credential = ClientCredential::private_key_jwt(url.as_str(), key);
        self.edit(|inner| inner.clients.document = Some((url, credential)))
    }

    /// Sets where registered clients are kept. Default: the memory of this process, so that each process registers a client of its own.
    /// A manager with a durable store needs it: in a process that does not know the client, the refresh of a stored login ends that login.
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
        let inner = Arc::make_mut(&mut self.0);
        // What is known of one configuration says nothing of another one: it may be for another user.
        inner.state = Arc::default();
        inner.resolutions = resolutions();
        change(inner);
        self
    }
}

impl Inner {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
        Box::pin(self.0.log_in(binding, scopes))
    }

    fn refresh<'a>(&'a self, binding: &'a Binding, refresh_token: &'a SecretString) -> GrantFuture<'a, TokenResponse> {
        Box::pin(self.0.refresh(binding, refresh_token))
    }

    fn stored_as(&self) -> Option<String> {
        let Inner { clients, scopes, subject, .. } = &*self.0;
        let configured = clients.configured.iter().map(|(issuer, client)| (issuer.as_str(), client.client_id()));
        let document = clients.document.as_ref().map(|(url, _)| url.as_str());
        let configured = configured.collect::<Vec<_>>();
        // A registered client is known by its redirect URI, too.
        let parts = (clients.metadata.name(), &clients.redirect_uri, configured, document, scopes, subject);
        serde_json::to_string(&parts).ok()
    }

    fn restore(&self, binding: &Binding) {
        self.0.state().binding.get_or_insert_with(|| binding.clone());
    }

    fn is_interactive(&self) -> bool {
        true
    }

    fn is_redeeming(&self) -> bool {
        self.0.state().redeeming > 0
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
