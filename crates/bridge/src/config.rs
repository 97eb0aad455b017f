//! [`BridgeConfig`], [`ScopePolicy`] and [`IntrospectionClient`]: the configuration of a bridge.

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use http::HeaderName;
use portcullis_core::{Issuer, ResourceUri, ScopeSet, UserContext};
use portcullis_oauth::providers::Provider;
use secrecy::SecretString;

use crate::{
    AccessTokenKind, Branding, Client, ClientMetadataDocumentPolicy, InvalidClient, RegistrationPolicy, TrustedIssuer,
    response::{ErrorCode, OAuthError},
    session::{Lifetimes, SecretHash, SessionUser},
};

/// The configuration of a [`Bridge`](crate::Bridge).
///
/// ```
/// use portcullis_bridge::BridgeConfig;
/// use portcullis_core::{Issuer, ResourceUri, ScopeSet};
///
/// let config = BridgeConfig::new(Issuer::new("https://mcp.example.com")?, ResourceUri::new("https://mcp.example.com/mcp")?)
///     .with_scopes(ScopeSet::parse("mcp:read mcp:write")?)
///     .with_upstream_scopes(ScopeSet::parse("openid profile email offline_access")?);
/// assert_eq!(config.callback(), "https://mcp.example.com/callback");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct BridgeConfig {
    pub(crate) issuer: Issuer,
    pub(crate) resources: Vec<ResourceUri>,
    pub(crate) resource_name: Option<Box<str>>,
    pub(crate) branding: Branding,
    pub(crate) scopes: ScopeSet,
    pub(crate) default_scopes: Option<ScopeSet>,
    scope_policy: Option<ScopePolicy>,
    pub(crate) upstream_scopes: ScopeSet,
    pub(crate) required_upstream_scopes: ScopeSet,
    pub(crate) upstream_parameters: Vec<(String, String)>,
    pub(crate) lifetimes: Lifetimes,
    pub(crate) max_session_age: Duration,
    pub(crate) max_sessions: usize,
    pub(crate) code_ttl: Duration,
    pub(crate) login_ttl: Duration,
    pub(crate) consent_ttl: Duration,
    pub(crate) max_pending_logins: u64,
    pub(crate) access_tokens: AccessTokenKind,
    upstream_revocation: UpstreamRevocation,
    pub(crate) clients: Vec<Client>,
    pub(crate) documents: ClientMetadataDocumentPolicy,
    pub(crate) registration: RegistrationPolicy,
    pub(crate) introspection_clients: Vec<IntrospectionClient>,
    pub(crate) trusted_issuers: Vec<Arc<TrustedIssuer>>,
    pub(crate) http_redirect_hosts: Vec<Box<str>>,
    pub(crate) client_address_header: Option<HeaderName>,
}

/// Whether grants are revoked at the provider when their session ends.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub enum UpstreamRevocation {
    /// Grants are revoked, except where that would end other logins of the same user
    /// ([`Provider::revocation_ends_other_logins`]): at Google, and at Keycloak.
    #[default]
    ByProvider,
    /// Grants are revoked.
    Enabled,
    /// Grants are not revoked.
    Disabled,
}

impl BridgeConfig {
    /// The default of [`with_access_token_ttl`](Self::with_access_token_ttl).
    pub const DEFAULT_ACCESS_TOKEN_TTL: Duration = Duration::from_mins(10);
    /// The default of [`with_refresh_token_ttl`](Self::with_refresh_token_ttl).
    pub const DEFAULT_REFRESH_TOKEN_TTL: Duration = Duration::from_hours(30 * 24);
    /// The default of [`with_rotation_grace`](Self::with_rotation_grace).
    pub const DEFAULT_ROTATION_GRACE: Duration = Duration::from_mins(2);
    /// The default of [`with_max_session_age`](Self::with_max_session_age).
    pub const DEFAULT_MAX_SESSION_AGE: Duration = Duration::from_hours(90 * 24);
    /// The default of [`with_consent_ttl`](Self::with_consent_ttl).
    pub const DEFAULT_CONSENT_TTL: Duration = Duration::from_hours(30 * 24);

    /// Creates the configuration of the authorization server `issuer` for `resource`.
    ///
    /// The issuer is the public URL of the bridge, and its endpoints are below it. With an `http` issuer, which only loopback may have,
    /// cookies have no `Secure` attribute.
    pub fn new(issuer: Issuer, resource: ResourceUri) -> Self {
        let lifetimes = Lifetimes {
            access_token: Self::DEFAULT_ACCESS_TOKEN_TTL,
            refresh_token: Self::DEFAULT_REFRESH_TOKEN_TTL,
            rotation_grace: Self::DEFAULT_ROTATION_GRACE,
        };
        Self {
            issuer,
            resources: vec![resource],
            resource_name: None,
            branding: Branding::new(),
            scopes: ScopeSet::default(),
            default_scopes: None,
            scope_policy: None,
            upstream_scopes: ScopeSet::default(),
            required_upstream_scopes: ScopeSet::default(),
            upstream_parameters: Vec::new(),
            lifetimes,
            max_session_age: Self::DEFAULT_MAX_SESSION_AGE,
            max_sessions: 50,
            code_ttl: Duration::from_mins(1),
            login_ttl: Duration::from_mins(10),
            consent_ttl: Self::DEFAULT_CONSENT_TTL,
            max_pending_logins: 10_000,
            access_tokens: AccessTokenKind::Reference,
            upstream_revocation: UpstreamRevocation::default(),
            clients: Vec::new(),
            documents: ClientMetadataDocumentPolicy::new(),
            registration: RegistrationPolicy::new(),
            introspection_clients: Vec::new(),
            trusted_issuers: Vec::new(),
            http_redirect_hosts: Vec::new(),
            client_address_header: None,
        }
    }

    /// Adds a resource. A client that names none gets tokens for the first one.
    /// [RFC 8707](https://www.rfc-editor.org/rfc/rfc8707)
    pub fn with_resource(mut self, resource: ResourceUri) -> Self {
        self.resources.push(resource);
        self
    }

    /// Sets the name of the (first) resource for users: on the pages, and in its metadata. Default: the pages show its host.
    pub fn with_resource_name(mut self, name: &str) -> Self {
        self.resource_name = Some(name.into());
        self
    }

    /// Sets how the pages show this server to users.
    pub fn with_branding(mut self, branding: Branding) -> Self {
        self.branding = branding;
        self
    }

    /// Sets the scopes of the bridge's tokens. Default: none. They are independent of the provider's scopes.
    pub fn with_scopes(mut self, scopes: ScopeSet) -> Self {
        self.scopes = scopes;
        self
    }

    /// Sets the scopes for requests without a known `scope`: those that basic use requires. The metadata of the resource lists them, so most
    /// clients request them at their first login. Default: all scopes.
    pub fn with_default_scopes(mut self, scopes: ScopeSet) -> Self {
        self.default_scopes = Some(scopes);
        self
    }

    /// Sets the policy that limits the scopes of users. Default: users are granted the requested scopes.
    pub fn with_scope_policy(mut self, scope_policy: ScopePolicy) -> Self {
        self.scope_policy = Some(scope_policy);
        self
    }

    /// Sets the scopes that are requested at the provider. Clients cannot influence them.
    pub fn with_upstream_scopes(mut self, scopes: ScopeSet) -> Self {
        self.upstream_scopes = scopes;
        self
    }

    /// Sets the scopes that users must grant at the provider. Without them a login fails with `access_denied`. Default: none.
    pub fn with_required_upstream_scopes(mut self, scopes: ScopeSet) -> Self {
        self.required_upstream_scopes = scopes;
        self
    }

    /// Adds a parameter to the provider's authorization request, such as Google's `hd`.
    pub fn with_upstream_parameter(mut self, name: &str, value: &str) -> Self {
        self.upstream_parameters.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the lifetime of access tokens. Default: 10 minutes.
    pub const fn with_access_token_ttl(mut self, ttl: Duration) -> Self {
        self.lifetimes.access_token = ttl;
        self
    }

    /// Sets the lifetime of unused refresh tokens. Default: 30 days.
    pub const fn with_refresh_token_ttl(mut self, ttl: Duration) -> Self {
        self.lifetimes.refresh_token = ttl;
        self
    }

    /// Sets how long a client that repeats a refresh, because the response was lost, gets the same response. Default: 2 minutes. A later
    /// repetition ends the session.
    ///
    /// A stolen copy of the token that is used within this time gets the same response as well. Signs of that are counted
    /// (`portcullis_bridge_refresh_reuse_suspected_total`) and logged.
    pub const fn with_rotation_grace(mut self, grace: Duration) -> Self {
        self.lifetimes.rotation_grace = grace;
        self
    }

    /// Sets the maximum age of a session, after which the user has to log in again. Default: 90 days.
    pub const fn with_max_session_age(mut self, age: Duration) -> Self {
        self.max_session_age = age;
        self
    }

    /// Sets the maximum number of concurrent sessions per user and client. Default: 50. Beyond it, the oldest session ends.
    pub const fn with_max_sessions(mut self, max: usize) -> Self {
        self.max_sessions = if max == 0 { 1 } else { max };
        self
    }

    /// Sets the lifetime of authorization codes. Default: one minute.
    pub const fn with_code_ttl(mut self, ttl: Duration) -> Self {
        self.code_ttl = ttl;
        self
    }

    /// Sets the time limit of the consent page, and of the login at the provider. Default: 10 minutes each.
    pub const fn with_login_ttl(mut self, ttl: Duration) -> Self {
        self.login_ttl = ttl;
        self
    }

    /// Sets how long a consent is stored, per browser, client and user. Default: 30 days; zero shows the consent page at every login.
    ///
    /// For clients on the user's machine (loopback, or a private scheme) it is always shown, because any program there can impersonate
    /// them.
    pub const fn with_consent_ttl(mut self, ttl: Duration) -> Self {
        self.consent_ttl = ttl;
        self
    }

    /// Sets the maximum number of pending logins. Default: 10,000. Beyond it, the oldest login of the source with the most logins is
    /// removed. A single address may have a tenth of them.
    pub const fn with_max_pending_logins(mut self, max: u64) -> Self {
        self.max_pending_logins = max;
        self
    }

    /// Sets the form of access tokens. Default: reference tokens.
    pub fn with_access_tokens(mut self, kind: AccessTokenKind) -> Self {
        self.access_tokens = kind;
        self
    }

    /// Sets whether grants are revoked at the provider when their session ends. Default: [`UpstreamRevocation::ByProvider`].
    pub const fn with_upstream_revocation(mut self, revocation: UpstreamRevocation) -> Self {
        self.upstream_revocation = revocation;
        self
    }

    /// Adds a client. Errors redirect to it without an interstitial page.
    ///
    /// Its id may be the URL of a metadata document, which is then not fetched.
    ///
    /// # Errors
    /// [`InvalidClient`] if the id is not unique, or the client could never be used.
    pub fn with_client(mut self, client: Client) -> Result<Self, InvalidClient> {
        client.check()?;
        if self.clients.iter().any(|known| known.id() == client.id()) {
            return Err(InvalidClient { id: client.id().to_owned(), why: "is configured twice" });
        }
        self.clients.push(client);
        Ok(self)
    }

    /// Sets the accepted client metadata documents (Client ID Metadata Documents).
    pub fn with_documents(mut self, policy: ClientMetadataDocumentPolicy) -> Self {
        self.documents = policy;
        self
    }

    /// Sets the policy of dynamic client registration ([RFC 7591](https://www.rfc-editor.org/rfc/rfc7591)).
    pub const fn with_registration(mut self, policy: RegistrationPolicy) -> Self {
        self.registration = policy;
        self
    }

    /// Adds another resource server, which may introspect tokens ([RFC 7662](https://www.rfc-editor.org/rfc/rfc7662)).
    pub fn with_introspection_client(mut self, client: IntrospectionClient) -> Self {
        self.introspection_clients.push(client);
        self
    }

    /// Adds an identity provider of an enterprise, whose identity assertions (ID-JAG) clients may exchange for tokens.
    pub fn with_trusted_issuer(mut self, issuer: TrustedIssuer) -> Self {
        self.trusted_issuers.push(Arc::new(issuer));
        self
    }

    /// Sets the hosts that redirect URIs may have with `http`, such as `host.docker.internal` or `192.168.1.20`: for clients in the
    /// operator's own network. Default: loopback only.
    ///
    /// Codes travel to these hosts without encryption. PKCE prevents that a party that reads a code can redeem it. A configured client
    /// validates its redirect URIs with [`RedirectUri::with_http_hosts`](crate::RedirectUri::with_http_hosts).
    pub fn with_http_redirect_hosts<'a>(mut self, hosts: impl IntoIterator<Item = &'a str>) -> Self {
        self.http_redirect_hosts = hosts.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the header in which a reverse proxy reports the client's address, such as `x-forwarded-for`. Of several addresses the last one
    /// counts. Without a proxy it must not be set, because clients could forge it. Default, also for requests without the header: the peer
    /// of the connection, if axum's `into_make_service_with_connect_info::<SocketAddr>` provides it.
    ///
    /// Some rate limits are per address. Behind a proxy without this setting, all clients share them, and one client could block logins.
    pub fn with_client_address_header(mut self, header: HeaderName) -> Self {
        self.client_address_header = Some(header);
        self
    }

    /// Returns the requested scopes that `user` is granted. Without default scopes that a user needs, they may be none.
    ///
    /// # Errors
    /// `access_denied` if none is left of several, and there are default scopes.
    pub(crate) fn allowed_scopes(&self, user: &SessionUser, asked: &ScopeSet) -> Result<ScopeSet, OAuthError> {
        let Some(ScopePolicy(decide)) = &self.scope_policy else { return Ok(asked.clone()) };
        let granted = decide(&user.context().build(), asked).intersection(asked);
        if granted.is_empty() && !asked.is_empty() && !self.basic_scopes().is_empty() {
            let error = OAuthError::new(ErrorCode::AccessDenied, "no requested scope is allowed for this user");
            let found = format!("scopes {asked} requested for {}", user.global_subject());
            return Err(error
                .with_step("entitlements")
                .with_found(&found, "a user who may have one of them")
                .with_key("bridge.entitlements"));
        }
        Ok(granted)
    }

    /// Returns the scopes for requests without `scope`: what basic use requires.
    pub(crate) fn basic_scopes(&self) -> &ScopeSet {
        self.default_scopes.as_ref().unwrap_or(&self.scopes)
    }

    /// Reports whether grants are revoked at `provider` when their session ends.
    pub(crate) fn revokes_upstream(&self, provider: &Provider) -> bool {
        match self.upstream_revocation {
            UpstreamRevocation::ByProvider => !provider.revocation_ends_other_logins(),
            UpstreamRevocation::Enabled => true,
            UpstreamRevocation::Disabled => false,
        }
    }

    /// Returns the redirect URI to register at the provider.
    #[must_use]
    pub fn callback(&self) -> String {
        self.urls().url(Urls::CALLBACK)
    }

    /// Returns the URLs of the endpoints.
    pub(crate) fn urls(&self) -> Urls {
        Urls::new(&self.issuer)
    }
}

/// Limits the scopes of users: which of the requested scopes a user is granted.
///
/// It is applied once, at the login, or when an identity assertion is redeemed. It can only remove scopes. A user without any of the
/// requested scopes is rejected with `access_denied`, unless [basic use requires none](BridgeConfig::with_default_scopes): then the user is
/// granted none.
///
/// A user is identified by issuer *and* subject, and claims are those of that issuer. Users who log in have the provider's issuer. Users
/// of identity assertions have their [`TrustedIssuer`](crate::TrustedIssuer), where the same subject may be another person. So compare
/// [`UserContext::issuer`] first.
///
/// ```
/// use portcullis_bridge::ScopePolicy;
/// use portcullis_core::{Issuer, ScopeSet};
///
/// let provider = Issuer::new("https://idp.example.com")?;
/// let policy = ScopePolicy::new(move |user, asked| {
///     let groups = user.claims().get("groups").and_then(|groups| groups.as_array());
///     let is_admin = *user.issuer() == provider && groups.is_some_and(|groups| groups.contains(&"admins".into()));
///     let allowed = asked.iter().filter(|scope| *scope != "mcp:admin" || is_admin);
///     ScopeSet::new(allowed).unwrap_or_default()
/// });
/// # drop(policy);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct ScopePolicy(Arc<Decide>);

type Decide = dyn Fn(&UserContext, &ScopeSet) -> ScopeSet + Send + Sync;

impl ScopePolicy {
    /// Creates a policy from a function of the user and the requested scopes.
    pub fn new(decide: impl Fn(&UserContext, &ScopeSet) -> ScopeSet + Send + Sync + 'static) -> Self {
        Self(Arc::new(decide))
    }
}

impl fmt::Debug for ScopePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopePolicy").finish_non_exhaustive()
    }
}

/// Another resource server, which may introspect the access tokens for its resource
/// ([RFC 7662](https://www.rfc-editor.org/rfc/rfc7662)). Only a hash of its secret is stored.
///
/// Its resource has to be [one of the bridge's](crate::BridgeConfig::with_resource).
///
/// ```
/// use portcullis_bridge::IntrospectionClient;
/// use portcullis_core::ResourceUri;
///
/// let reports = ResourceUri::new("https://reports.example.com/mcp")?;
/// let client = IntrospectionClient::new("reports", &"a long random secret".into(), reports);
/// # drop(client);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct IntrospectionClient {
    id: Box<str>,
    secret: SecretHash,
    pub(crate) resource: ResourceUri,
}

impl IntrospectionClient {
    /// Creates the client of the resource server `resource`, which authenticates with `client_secret_basic`.
    pub fn new(client_id: &str, secret: &SecretString, resource: ResourceUri) -> Self {
        Self { id: client_id.into(), secret: SecretHash::of_text(secret), resource }
    }

    /// Reports whether id and secret are those of this client. The secret is compared in constant time.
    pub(crate) fn authenticates(&self, client_id: &str, secret: &SecretString) -> bool {
        let is_secret = self.secret == SecretHash::of_text(secret);
        *self.id == *client_id && is_secret
    }
}

impl fmt::Debug for IntrospectionClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntrospectionClient")
            .field("id", &self.id)
            .field("resource", &self.resource)
            .finish_non_exhaustive()
    }
}

/// The URLs of the endpoints, which are below the issuer. The `Host` of a request does not matter.
#[derive(Clone, Debug)]
pub(crate) struct Urls {
    base: String,
    path: String,
}

impl Urls {
    pub(crate) const AUTHORIZE: &str = "/authorize";
    pub(crate) const CONSENT: &str = "/consent";
    pub(crate) const CALLBACK: &str = "/callback";
    pub(crate) const TOKEN: &str = "/token";
    pub(crate) const REGISTER: &str = "/register";
    pub(crate) const REVOKE: &str = "/revoke";
    pub(crate) const INTROSPECT: &str = "/introspect";
    pub(crate) const JWKS: &str = "/jwks";

    pub(crate) fn new(issuer: &Issuer) -> Self {
        let base = issuer.as_str().trim_end_matches('/');
        let authority = base.find("://").map_or(0, |at| at + 3);
        let path = base[authority..].find('/').map_or("", |at| &base[authority + at..]);
        Self { base: base.to_owned(), path: path.to_owned() }
    }

    /// Returns the URL of `endpoint`.
    pub(crate) fn url(&self, endpoint: &str) -> String {
        format!("{}{endpoint}", self.base)
    }

    /// Returns the path of `endpoint`, for a router.
    pub(crate) fn path(&self, endpoint: &str) -> String {
        format!("{}{endpoint}", self.path)
    }

    /// Returns the path of the metadata. RFC 8414 section 3.1.
    pub(crate) fn metadata(&self) -> String {
        format!("/.well-known/oauth-authorization-server{}", self.path)
    }

    /// Returns the paths of OpenID Connect Discovery. MCP, Authorization Server Discovery.
    pub(crate) fn openid_metadata(&self) -> BTreeSet<String> {
        let Self { path, .. } = self;
        BTreeSet::from([
            format!("/.well-known/openid-configuration{path}"),
            format!("{path}/.well-known/openid-configuration"),
        ])
    }

    /// Returns scheme, host and port.
    pub(crate) fn origin(&self) -> &str {
        &self.base[..self.base.len() - self.path.len()]
    }

    /// Reports whether the issuer is `https`; else it is `http` on loopback.
    pub(crate) fn is_https(&self) -> bool {
        self.base.starts_with("https:")
    }
}
