//! [`BridgeConfig`]: what a bridge issues, to whom, and how it logs users in.

use std::{sync::Arc, time::Duration};

use http::HeaderName;
use portcullis_core::{Issuer, ResourceUri, ScopeSet};
use portcullis_oauth::providers::Provider;

use crate::{
    AccessTokenKind, Client, ClientMetadataDocumentPolicy, IntrospectionClient, InvalidClient, RegistrationPolicy,
    ScopePolicy, TrustedIssuer,
    oauth_error::OAuthError,
    session::{Lifetimes, SessionUser},
};

/// What a bridge issues, to whom, and how it logs users in.
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
    revokes_upstream: Option<bool>,
    pub(crate) clients: Vec<Client>,
    pub(crate) documents: ClientMetadataDocumentPolicy,
    pub(crate) registration: RegistrationPolicy,
    pub(crate) introspection_clients: Vec<IntrospectionClient>,
    pub(crate) trusted_issuers: Vec<Arc<TrustedIssuer>>,
    pub(crate) client_address_header: Option<HeaderName>,
}

impl BridgeConfig {
    /// The authorization server `issuer` in front of `resource`.
    ///
    /// The issuer is the public URL of the bridge: its endpoints are below it, whatever a request says of its host. For a plain
    /// `http` issuer, which only loopback may have, cookies do without `Secure`.
    pub fn new(issuer: Issuer, resource: ResourceUri) -> Self {
        let lifetimes = Lifetimes {
            access_token: Duration::from_mins(10),
            refresh_token: Duration::from_hours(30 * 24),
            rotation_grace: Duration::from_mins(2),
        };
        Self {
            issuer,
            resources: vec![resource],
            scopes: ScopeSet::default(),
            default_scopes: None,
            scope_policy: None,
            upstream_scopes: ScopeSet::default(),
            required_upstream_scopes: ScopeSet::default(),
            upstream_parameters: Vec::new(),
            lifetimes,
            max_session_age: Duration::from_hours(90 * 24),
            max_sessions: 50,
            code_ttl: Duration::from_mins(1),
            login_ttl: Duration::from_mins(10),
            consent_ttl: Duration::from_hours(30 * 24),
            max_pending_logins: 10_000,
            access_tokens: AccessTokenKind::Reference,
            revokes_upstream: None,
            clients: Vec::new(),
            documents: ClientMetadataDocumentPolicy::new(),
            registration: RegistrationPolicy::new(),
            introspection_clients: Vec::new(),
            trusted_issuers: Vec::new(),
            client_address_header: None,
        }
    }

    /// Another resource that tokens may be for. A client that names none gets tokens for the first.
    /// [RFC 8707](https://www.rfc-editor.org/rfc/rfc8707)
    pub fn with_resource(mut self, resource: ResourceUri) -> Self {
        self.resources.push(resource);
        self
    }

    /// The scopes of the bridge's own tokens. Default: none. They have nothing to do with those at the provider.
    pub fn with_scopes(mut self, scopes: ScopeSet) -> Self {
        self.scopes = scopes;
        self
    }

    /// What a client gets that asks for no scopes. Default: all there are.
    pub fn with_default_scopes(mut self, scopes: ScopeSet) -> Self {
        self.default_scopes = Some(scopes);
        self
    }

    /// Who may have which scopes. Default: every user may have what the client asks for.
    pub fn with_scope_policy(mut self, scope_policy: ScopePolicy) -> Self {
        self.scope_policy = Some(scope_policy);
        self
    }

    /// What users are asked for at the provider. Clients have no say in it.
    pub fn with_upstream_scopes(mut self, scopes: ScopeSet) -> Self {
        self.upstream_scopes = scopes;
        self
    }

    /// What users must have allowed at the provider; without it a login fails with `access_denied`. Default: nothing in particular.
    pub fn with_required_upstream_scopes(mut self, scopes: ScopeSet) -> Self {
        self.required_upstream_scopes = scopes;
        self
    }

    /// A parameter of the provider's authorization request, such as Google's `hd`.
    pub fn with_upstream_parameter(mut self, name: &str, value: &str) -> Self {
        self.upstream_parameters.push((name.to_owned(), value.to_owned()));
        self
    }

    /// How long an access token lives. Default: 10 minutes.
    pub const fn with_access_token_ttl(mut self, ttl: Duration) -> Self {
        self.lifetimes.access_token = ttl;
        self
    }

    /// How long a refresh token lives that is not used. Default: 30 days.
    pub const fn with_refresh_token_ttl(mut self, ttl: Duration) -> Self {
        self.lifetimes.refresh_token = ttl;
        self
    }

    /// For how long a client that repeats a refresh, because the answer was lost, gets the same answer. Default: 2 minutes. After
    /// that the session ends.
    ///
    /// A copy of the token that is used within this time of the client gets the same answer as well. Repetitions that suggest one are
    /// counted (`portcullis_bridge_refresh_reuse_suspected_total`) and logged.
    pub const fn with_rotation_grace(mut self, grace: Duration) -> Self {
        self.lifetimes.rotation_grace = grace;
        self
    }

    /// After which a user has to log in again, however often tokens were refreshed. Default: 90 days.
    pub const fn with_max_session_age(mut self, age: Duration) -> Self {
        self.max_session_age = age;
        self
    }

    /// So many sessions a user may have through one client at the same time. Default: 50. If there are more, the oldest ends.
    pub const fn with_max_sessions(mut self, max: usize) -> Self {
        self.max_sessions = if max == 0 { 1 } else { max };
        self
    }

    /// How long a code is good. Default: one minute.
    pub const fn with_code_ttl(mut self, ttl: Duration) -> Self {
        self.code_ttl = ttl;
        self
    }

    /// How long a user may take for the consent page, and for the login at the provider. Default: 10 minutes each.
    pub const fn with_login_ttl(mut self, ttl: Duration) -> Self {
        self.login_ttl = ttl;
        self
    }

    /// For how long a consent is remembered, by browser, client and user. Default: 30 days; zero: it is asked for every time.
    ///
    /// Clients on the user's own machine (loopback, or a scheme of their own) have it asked for every time: any program there could
    /// pass for them.
    pub const fn with_consent_ttl(mut self, ttl: Duration) -> Self {
        self.consent_ttl = ttl;
        self
    }

    /// So many users may be at the provider at the same time. Default: 10,000. If there are more, the oldest login is forgotten of where
    /// the most are from; a single address may have a tenth of them.
    pub const fn with_max_pending_logins(mut self, max: u64) -> Self {
        self.max_pending_logins = max;
        self
    }

    /// The form of access tokens. Default: reference tokens.
    pub fn with_access_tokens(mut self, kind: AccessTokenKind) -> Self {
        self.access_tokens = kind;
        self
    }

    /// Whether the provider is told when a session ends. Default: yes, but where that would end other logins of the same user
    /// ([`Provider::revocation_ends_other_logins`]): at Google, and at Keycloak.
    pub const fn with_upstream_revocation(mut self, revokes: bool) -> Self {
        self.revokes_upstream = Some(revokes);
        self
    }

    /// A client that the operator knows. It may be sent errors without a page in between.
    ///
    /// Its id may be the URL of a metadata document: then the document is not fetched, and this is what it says.
    ///
    /// # Errors
    /// [`InvalidClient`] if there is one of this id, or if it could never be used.
    pub fn with_client(mut self, client: Client) -> Result<Self, InvalidClient> {
        client.check()?;
        if self.clients.iter().any(|known| known.id() == client.id()) {
            return Err(InvalidClient { id: client.id().to_owned(), why: "is configured twice" });
        }
        self.clients.push(client);
        Ok(self)
    }

    /// Which clients may describe themselves by a document (Client ID Metadata Documents).
    pub fn with_documents(mut self, policy: ClientMetadataDocumentPolicy) -> Self {
        self.documents = policy;
        self
    }

    /// Whether clients may register themselves ([RFC 7591](https://www.rfc-editor.org/rfc/rfc7591)).
    pub const fn with_registration(mut self, policy: RegistrationPolicy) -> Self {
        self.registration = policy;
        self
    }

    /// A resource server elsewhere, which may ask about tokens ([RFC 7662](https://www.rfc-editor.org/rfc/rfc7662)).
    pub fn with_introspection_client(mut self, resource_server: IntrospectionClient) -> Self {
        self.introspection_clients.push(resource_server);
        self
    }

    /// An identity provider of the enterprise, whose assertions (ID-JAG) are good for tokens.
    pub fn with_trusted_issuer(mut self, issuer: TrustedIssuer) -> Self {
        self.trusted_issuers.push(Arc::new(issuer));
        self
    }

    /// The header in which the proxy in front of this server says where requests come from, such as `x-forwarded-for`: of several
    /// addresses the last. Without a proxy it must not be set: anybody could say anything. Default: the other end of the connection,
    /// if it is known by axum's `into_make_service_with_connect_info::<SocketAddr>`; this is so as well for a request without the header.
    ///
    /// Some limits are by address. All behind a proxy without this are one caller, so anybody could stop everybody from logging in.
    pub fn with_client_address_header(mut self, header: HeaderName) -> Self {
        self.client_address_header = Some(header);
        self
    }

    /// Of what was asked for, what `user` may have.
    ///
    /// # Errors
    /// `access_denied` if that is nothing.
    pub(crate) fn allowed_scopes(&self, user: &SessionUser, asked: &ScopeSet) -> Result<ScopeSet, OAuthError> {
        self.scope_policy.as_ref().map_or_else(|| Ok(asked.clone()), |scope_policy| scope_policy.apply(user, asked))
    }

    /// Whether `provider` is told when a session ends.
    pub(crate) fn revokes_upstream(&self, provider: &Provider) -> bool {
        self.revokes_upstream.unwrap_or_else(|| !provider.revocation_ends_other_logins())
    }

    /// Where the provider sends users back to: the redirect URI to register there.
    #[must_use]
    pub fn callback(&self) -> String {
        format!("{}/callback", self.issuer.as_str().trim_end_matches('/'))
    }
}
