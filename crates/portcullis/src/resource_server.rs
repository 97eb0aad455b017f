//! [`ResourceServer`]: the quick start, from a few names to an [`AuthConfig`].

use std::sync::Arc;

use portcullis_core::{Clock, InvalidUri, Issuer, ResourceUri, SystemClock};
use portcullis_egress::{Egress, EgressConfig, EgressConfigError};
use portcullis_layer::AuthConfig;
use portcullis_oauth::{
    ClientAuthentication, introspection::IntrospectionPolicy, jwt::JwtPolicy,
    protected_resource::ProtectedResourceMetadata,
};
use portcullis_verify::{
    Cache, CacheConfig, ConfigError, IntrospectionVerifier, IssuerRouter, JwtVerifier, RemoteKeySet,
};

/// The quick start: who issues tokens for a resource, and everything else by default.
///
/// Tokens are verified strictly, every user is remembered ([`CacheConfig`]), and requests go out guarded
/// ([`EgressConfig`]). For other verifiers, put [`IssuerRouter`] together yourself: this does nothing that you cannot.
///
/// ```
/// use portcullis::ResourceServer;
///
/// let cfg = ResourceServer::new("https://mcp.example.com/mcp")?.with_jwt_issuer("https://idp.example.com")?.build()?;
/// assert_eq!(cfg.metadata().authorization_servers()[0].as_str(), "https://idp.example.com");
/// assert!(ResourceServer::new("https://mcp.example.com/mcp")?.build().is_err(), "nobody issues tokens");
/// # Ok::<(), portcullis::BuildError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct ResourceServer {
    resource: ResourceUri,
    issuers: Vec<(Issuer, Means)>,
    cache: CacheConfig,
    egress: EgressConfig,
    clock: Arc<dyn Clock>,
}

#[derive(Clone, Debug)]
enum Means {
    Jwt(JwtPolicy),
    Introspection(IntrospectionPolicy, ClientAuthentication),
}

/// Why a [`ResourceServer`], or a `BridgedServer`, cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The resource, or an issuer, is no such name.
    #[error(transparent)]
    Uri(#[from] InvalidUri),
    /// The issuers do not go together, or there is none.
    #[error(transparent)]
    IssuerRouter(#[from] ConfigError),
    /// The HTTP client cannot be made.
    #[error(transparent)]
    Egress(#[from] EgressConfigError),
    /// What is stored would outlive the keys that seal it.
    #[cfg(feature = "bridge")]
    #[error(transparent)]
    EphemeralKey(#[from] portcullis_grants::EphemeralKeyError),
    /// No key of the ring opens what is stored.
    #[cfg(feature = "bridge")]
    #[error(transparent)]
    WrongKeys(portcullis_grants::WrongKeys),
    /// What is stored cannot be read or written.
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
    /// A server that is the protected resource named `resource`: the public URL of the MCP endpoint.
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

    /// `issuer` issues JWTs by [RFC 9068](https://www.rfc-editor.org/rfc/rfc9068) (`typ: at+jwt`), whose keys it publishes.
    ///
    /// # Errors
    /// [`BuildError::Uri`] if it is no issuer's name.
    pub fn with_jwt_issuer(self, issuer: &str) -> Result<Self, BuildError> {
        let policy = JwtPolicy::new(Issuer::new(issuer)?, self.resource.clone());
        Ok(self.with_jwt_policy(policy))
    }

    /// An issuer of JWTs that are good by `policy`: for one that writes another `typ`, or has a name of its own for the
    /// resource.
    pub fn with_jwt_policy(mut self, policy: JwtPolicy) -> Self {
        self.issuers.push((policy.issuer().clone(), Means::Jwt(policy)));
        self
    }

    /// `issuer` issues opaque tokens, and is asked about each, by [RFC 7662](https://www.rfc-editor.org/rfc/rfc7662), as `client`.
    ///
    /// # Errors
    /// [`BuildError::Uri`] if it is no issuer's name.
    pub fn with_introspection_issuer(self, issuer: &str, client: ClientAuthentication) -> Result<Self, BuildError> {
        let policy = IntrospectionPolicy::new(Issuer::new(issuer)?, self.resource.clone());
        Ok(self.with_introspection_policy(policy, client))
    }

    /// An issuer of opaque tokens that are good by `policy`: for one that names users by another member than `sub`, or has a name of
    /// its own for the resource.
    pub fn with_introspection_policy(mut self, policy: IntrospectionPolicy, client: ClientAuthentication) -> Self {
        self.issuers.push((policy.issuer().clone(), Means::Introspection(policy, client)));
        self
    }

    /// How much is remembered, and for how long.
    pub fn with_cache(mut self, cache: CacheConfig) -> Self {
        self.cache = cache;
        self
    }

    /// Where requests may go.
    pub fn with_egress(mut self, egress: EgressConfig) -> Self {
        self.egress = egress;
        self
    }

    /// The clock that tokens are judged by, in the cache too.
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The configuration for [`AuthLayer`](crate::AuthLayer).
    ///
    /// # Errors
    /// [`BuildError`] if no issuer was named, one twice, or the HTTP client cannot be made.
    pub fn build(self) -> Result<AuthConfig<Cache<IssuerRouter>>, BuildError> {
        let egress = Egress::new(self.egress)?;
        let mut names = self.issuers.iter().map(|(issuer, _)| issuer.clone());
        let first = names.next().ok_or(ConfigError::NoIssuer)?;
        let metadata = ProtectedResourceMetadata::new(self.resource.clone(), first);
        let metadata = names.fold(metadata, ProtectedResourceMetadata::with_authorization_server);
        let mut issuers = IssuerRouter::builder();
        for (issuer, means) in self.issuers {
            let (egress, clock) = (egress.clone(), Arc::clone(&self.clock));
            issuers = match means {
                Means::Jwt(policy) => {
                    let keys = RemoteKeySet::discovered(issuer.clone(), egress).with_clock(Arc::clone(&clock));
                    issuers.with_issuer(issuer, JwtVerifier::new(policy, keys, clock))
                }
                Means::Introspection(policy, client) => {
                    let verifier = IntrospectionVerifier::new(policy, client, egress, clock);
                    issuers.with_opaque_issuer(issuer, verifier)
                }
            };
        }
        let verifier = Cache::around(issuers.build()?, self.cache.with_clock(Arc::clone(&self.clock)));
        Ok(AuthConfig::new(metadata, verifier).with_clock(self.clock))
    }
}
