//! [`ResourceServer`]: a builder for the [`AuthConfig`] of a resource server.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use portcullis_core::{AuthError, BearerToken, Clock, InvalidUri, Issuer, ResourceUri, SystemClock, UserContext};
use portcullis_egress::{Egress, EgressConfig, EgressConfigError};
use portcullis_layer::AuthConfig;
use portcullis_oauth::{
    ClientAuthentication, introspection::IntrospectionPolicy, jwt::JwtPolicy,
    protected_resource::ProtectedResourceMetadata,
};
use portcullis_verify::{
    Cache, CacheConfig, CacheFuture, CacheHandle, ConfigError, IntrospectionVerifier, IssuerRouter, JwtVerifier,
    RemoteKeySet,
};
use tower_service::Service;

/// A builder for a resource server with default verifiers and cache.
///
/// Tokens are verified strictly, users are cached ([`CacheConfig`]), and outbound requests have an SSRF guard ([`EgressConfig`]). For other
/// verifiers, build an [`IssuerRouter`] and an [`AuthConfig`] yourself.
///
/// ```
/// use portcullis::ResourceServer;
///
/// let cfg = ResourceServer::new("https://mcp.example.com/mcp")?.with_jwt_issuer("https://idp.example.com")?.build()?;
/// assert_eq!(cfg.metadata().authorization_servers()[0].as_str(), "https://idp.example.com");
/// assert!(ResourceServer::new("https://mcp.example.com/mcp")?.build().is_err(), "no issuer is configured");
/// # Ok::<(), portcullis::BuildError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct ResourceServer {
    resource: ResourceUri,
    issuers: Vec<(Issuer, IssuerKind)>,
    cache: CacheConfig,
    egress: EgressConfig,
    clock: Arc<dyn Clock>,
}

#[derive(Clone, Debug)]
enum IssuerKind {
    Jwt(JwtPolicy),
    Introspection(IntrospectionPolicy, ClientAuthentication),
}

/// The verifier of a [`ResourceServer`]: JWT and introspection verifiers behind a cache.
#[derive(Clone, Debug)]
pub struct DefaultVerifier(Cache<IssuerRouter>);

impl DefaultVerifier {
    /// Returns a handle that invalidates cached users.
    #[must_use]
    pub fn handle(&self) -> CacheHandle {
        self.0.handle()
    }
}

impl Service<BearerToken> for DefaultVerifier {
    type Response = Arc<UserContext>;
    type Error = AuthError;
    type Future = CacheFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), AuthError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, token: BearerToken) -> CacheFuture {
        self.0.call(token)
    }
}

/// An error for a [`ResourceServer`] or a `BridgedServer` that cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The resource or an issuer is not a valid identifier.
    #[error(transparent)]
    Uri(#[from] InvalidUri),
    /// An issuer is missing or is configured twice.
    #[error(transparent)]
    IssuerRouter(#[from] ConfigError),
    /// The HTTP client cannot be created.
    #[error(transparent)]
    Egress(#[from] EgressConfigError),
    /// The store outlives the process, but the encryption keys do not.
    #[cfg(feature = "bridge")]
    #[error(transparent)]
    EphemeralKey(#[from] portcullis_grants::EphemeralKeyError),
    /// No key of the ring decrypts the stored data.
    #[cfg(feature = "bridge")]
    #[error(transparent)]
    WrongKeys(portcullis_grants::WrongKeys),
    /// The store cannot be read or written.
    #[cfg(feature = "bridge")]
    #[error(transparent)]
    Store(#[from] portcullis_grants::StoreError),
}

#[cfg(feature = "bridge")]
impl From<portcullis_grants::OpenError> for BuildError {
    fn from(error: portcullis_grants::OpenError) -> Self {
        match error {
            portcullis_grants::OpenError::EphemeralKey(error) => error.into(),
            portcullis_grants::OpenError::WrongKeys(error) => Self::WrongKeys(error),
            portcullis_grants::OpenError::Store(error) => error.into(),
            other => Self::Store(portcullis_grants::StoreError::new("opening it").with_source(other)),
        }
    }
}

impl ResourceServer {
    /// Creates a builder for the protected resource `resource`: the public URL of the MCP endpoint.
    ///
    /// # Errors
    /// [`BuildError::Uri`] if it is not `https` (`http` for loopback) or has a fragment.
    pub fn new(resource: &str) -> Result<Self, BuildError> {
        Ok(Self {
            resource: ResourceUri::new(resource)?,
            issuers: Vec::new(),
            cache: CacheConfig::new(),
            egress: EgressConfig::new(),
            clock: Arc::new(SystemClock::new()),
        })
    }

    /// Adds an issuer of JWTs by [RFC 9068](https://www.rfc-editor.org/rfc/rfc9068) (`typ: at+jwt`) with published keys.
    ///
    /// # Errors
    /// [`BuildError::Uri`] if `issuer` is not an issuer identifier.
    pub fn with_jwt_issuer(self, issuer: &str) -> Result<Self, BuildError> {
        let policy = JwtPolicy::new(Issuer::new(issuer)?, self.resource.clone());
        Ok(self.with_jwt_policy(policy))
    }

    /// Adds an issuer of JWTs with its own policy, for example because of another `typ` or another audience.
    pub fn with_jwt_policy(mut self, policy: JwtPolicy) -> Self {
        self.issuers.push((policy.issuer().clone(), IssuerKind::Jwt(policy)));
        self
    }

    /// Adds an issuer of opaque tokens, which are introspected by [RFC 7662](https://www.rfc-editor.org/rfc/rfc7662) as `client`.
    ///
    /// # Errors
    /// [`BuildError::Uri`] if `issuer` is not an issuer identifier.
    pub fn with_introspection_issuer(self, issuer: &str, client: ClientAuthentication) -> Result<Self, BuildError> {
        let policy = IntrospectionPolicy::new(Issuer::new(issuer)?, self.resource.clone());
        Ok(self.with_introspection_policy(policy, client))
    }

    /// Adds an issuer of opaque tokens with its own policy, for example because of another subject claim or another audience.
    pub fn with_introspection_policy(mut self, policy: IntrospectionPolicy, client: ClientAuthentication) -> Self {
        self.issuers.push((policy.issuer().clone(), IssuerKind::Introspection(policy, client)));
        self
    }

    /// Sets the configuration of the cache.
    pub fn with_cache(mut self, cache: CacheConfig) -> Self {
        self.cache = cache;
        self
    }

    /// Sets the destinations of outbound requests. Default: public addresses.
    pub fn with_egress(mut self, egress: EgressConfig) -> Self {
        self.egress = egress;
        self
    }

    /// Sets the clock for tokens and the cache. Default: [`SystemClock`].
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Builds the configuration for [`AuthLayer`](crate::AuthLayer).
    ///
    /// # Errors
    /// [`BuildError`] if no issuer was added, one was added twice, or the HTTP client cannot be created.
    pub fn build(self) -> Result<AuthConfig<DefaultVerifier>, BuildError> {
        let egress = Egress::new(self.egress)?;
        let mut names = self.issuers.iter().map(|(issuer, _)| issuer.clone());
        let first = names.next().ok_or(ConfigError::NoIssuer)?;
        let metadata = ProtectedResourceMetadata::new(self.resource.clone(), first);
        let metadata = names.fold(metadata, ProtectedResourceMetadata::with_authorization_server);
        let mut issuers = IssuerRouter::builder();
        for (issuer, kind) in self.issuers {
            let (egress, clock) = (egress.clone(), Arc::clone(&self.clock));
            issuers = match kind {
                IssuerKind::Jwt(policy) => {
                    let keys = RemoteKeySet::discovered(issuer.clone(), egress).with_clock(Arc::clone(&clock));
                    issuers.with_issuer(issuer, JwtVerifier::new(policy, keys).with_clock(clock))
                }
                IssuerKind::Introspection(policy, client) => {
                    let verifier = IntrospectionVerifier::new(policy, client, egress).with_clock(clock);
                    issuers.with_opaque_issuer(issuer, verifier)
                }
            };
        }
        let verifier = Cache::around(issuers.build()?, self.cache.with_clock(Arc::clone(&self.clock)));
        Ok(AuthConfig::new(metadata, DefaultVerifier(verifier)).with_clock(self.clock))
    }
}
