//! [`BridgedServer`]: a builder for a server with its own authorization server.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use portcullis_bridge::{Bridge, BridgeConfig, BridgeVerifier, collections};
use portcullis_core::{AuthError, BearerToken, Clock, SystemClock, UserContext};
use portcullis_egress::{Egress, EgressConfig};
use portcullis_layer::AuthConfig;
use portcullis_oauth::{ClientAuthentication, providers::Provider};
use portcullis_refresh::GrantStore;
use portcullis_store::{KeyRing, MemoryStore, SealedStore, Store};
use portcullis_upstream::{ProfileVerifier, ProviderClient, UpstreamLayer, UpstreamVerifier};
use portcullis_verify::{Cache, CacheConfig, CacheFuture, CacheHandle};
use tower_layer::Layer as _;
use tower_service::Service;

use crate::BuildError;

/// A builder for a server with its own authorization server: a bridge to a provider, and an auth layer that accepts only its tokens.
///
/// Users log in at the provider. Their context has their profile at the provider, which is refreshed with the cache, and their upstream
/// token. For other compositions, combine [`Bridge`], [`UpstreamVerifier`] and [`Cache`] yourself.
///
/// ```
/// use axum::{Router, routing::post};
/// use portcullis::{
///     AuthLayer, BridgedServer, ClientAuthentication, Issuer, Provider, ResourceUri, ScopeSet,
///     bridge::BridgeConfig,
///     extract::User,
/// };
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config = BridgeConfig::new(Issuer::new("https://mcp.example.com")?, ResourceUri::new("https://mcp.example.com/mcp")?)
///     .with_upstream_scopes(ScopeSet::parse("user:email")?);
/// let app = ClientAuthentication::basic("Iv1.0123456789abcdef", "secret from a file".into());
/// let (gate, bridge) = BridgedServer::new(config, Provider::github(), app).build()?;
///
/// let mcp = post(async |user: User| format!("Hello {}", user.name().unwrap_or(user.subject())));
/// // In this order: of two merged routers, axum keeps the fallback of the second.
/// let app = bridge.router().merge(Router::new().route("/mcp", mcp).layer(AuthLayer::new(gate)));
/// # use tower::ServiceExt as _;
/// # let request = |path: &str| http::Request::get(path).body(axum::body::Body::empty()).unwrap();
/// # assert_eq!(app.clone().oneshot(request("/mcp")).await?.status(), 401);
/// # assert_eq!(app.clone().oneshot(request("/.well-known/oauth-protected-resource/mcp")).await?.status(), 200);
/// # assert_eq!(app.oneshot(request("/.well-known/oauth-authorization-server")).await?.status(), 200);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct BridgedServer {
    config: BridgeConfig,
    provider: Provider,
    client: ClientAuthentication,
    store: Option<SealedStore>,
    cache: CacheConfig,
    outage_grace: Duration,
    provider_egress: EgressConfig,
    client_egress: EgressConfig,
    clock: Arc<dyn Clock>,
}

impl BridgedServer {
    /// The default of [`with_outage_grace`](Self::with_outage_grace).
    pub const DEFAULT_OUTAGE_GRACE: Duration = Duration::from_hours(24);

    /// Creates a builder for a bridge whose users log in at `provider`, where this server authenticates as `client`.
    pub fn new(config: BridgeConfig, provider: Provider, client: ClientAuthentication) -> Self {
        Self {
            config,
            provider,
            client,
            store: None,
            cache: CacheConfig::new(),
            outage_grace: Self::DEFAULT_OUTAGE_GRACE,
            provider_egress: EgressConfig::new(),
            client_egress: EgressConfig::new(),
            clock: Arc::new(SystemClock::new()),
        }
    }

    /// Sets the human-readable name of the server: on the pages of the bridge, and in the metadata.
    pub fn with_resource_name(mut self, name: &str) -> Self {
        self.config = self.config.with_resource_name(name);
        self
    }

    /// Sets the store for clients, sessions and the provider's tokens, which are encrypted with `keys`. Default: in memory.
    ///
    /// The keys are checked first: see [`SealedStore::check_keys`]. Processes that share a durable store hear of each other's ended
    /// sessions: see [`Bridge::invalidations`].
    ///
    /// # Errors
    /// [`BuildError::EphemeralKey`] if the store outlives the process and the keys do not; [`BuildError::WrongKeys`] if no key of the ring
    /// opens what is stored; [`BuildError::Store`] if the store cannot be read or written.
    pub async fn with_store(self, store: impl Store, keys: KeyRing) -> Result<Self, BuildError> {
        let collections = [&[GrantStore::COLLECTION][..], &collections::ALL].concat();
        Ok(self.with_sealed_store(SealedStore::open(Arc::new(store), keys, &collections).await?))
    }

    /// Keeps everything in `store`, as [`with_store`](Self::with_store), which has been opened already.
    pub fn with_sealed_store(mut self, store: SealedStore) -> Self {
        self.store = Some(store);
        self
    }

    /// Sets the configuration of the cache. Its time to live is the delay after which a change at the provider takes effect.
    pub fn with_cache(mut self, cache: CacheConfig) -> Self {
        self.cache = cache;
        self
    }

    /// Sets the time after the last confirmation of a user by the provider (a login, a refresh or a profile) for which the user is accepted
    /// with the last known profile while the provider is unavailable. Default: 24 hours. Zero: requests are rejected with 503 at once.
    ///
    /// See [`UpstreamLayer::with_outage_grace`].
    pub const fn with_outage_grace(mut self, grace: Duration) -> Self {
        self.outage_grace = grace;
        self
    }

    /// Sets the destinations of requests to the provider. Default: public addresses.
    pub fn with_provider_egress(mut self, egress: EgressConfig) -> Self {
        self.provider_egress = egress;
        self
    }

    /// Sets the destinations of requests that clients cause, for their metadata documents at URLs of their choice. Default: public
    /// addresses. Change it in tests only.
    pub fn with_client_egress(mut self, egress: EgressConfig) -> Self {
        self.client_egress = egress;
        self
    }

    /// Sets the clock. Default: [`SystemClock`].
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Builds the configuration for [`AuthLayer`](crate::AuthLayer), and the bridge, into whose [router](Bridge::router) the app is merged.
    ///
    /// # Errors
    /// [`BuildError::Egress`] if the HTTP client cannot be created.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn build(self) -> Result<(AuthConfig<BridgedVerifier>, Bridge), BuildError> {
        let Self { config, provider, client, store, cache, outage_grace, .. } = self;
        let (provider_egress, client_egress, clock) = (self.provider_egress, self.client_egress, self.clock);
        let provider =
            ProviderClient::new(provider, client, Egress::new(provider_egress)?).with_clock(Arc::clone(&clock));
        let (profiles, has_profiles) = (provider.profile_verifier(), provider.provider().has_profile_endpoint());
        let store = store.map_or_else(
            || SealedStore::new(Arc::new(MemoryStore::new().with_clock(Arc::clone(&clock))), KeyRing::ephemeral()),
            Ok,
        )?;
        let bridge = Bridge::builder(config, provider, Egress::new(client_egress)?)
            .with_clock(Arc::clone(&clock))
            .build(store.clone().into(), store);
        // Users of an enterprise identity provider (ID-JAG) have no grant.
        let users = UpstreamLayer::new(profiles)
            .with_users_without_grant()
            .with_clock(Arc::clone(&clock))
            .with_outage_grace(outage_grace);
        let users = if has_profiles { users } else { users.with_profiles_of_login() };
        let users = users.layer(bridge.verifier());
        let users = Cache::around(users, cache.with_clock(Arc::clone(&clock)));
        let metadata = bridge.resource_metadata();
        Ok((AuthConfig::new(metadata, BridgedVerifier(users)).with_clock(clock), bridge))
    }
}

/// The verifier of a [`BridgedServer`]: the tokens of the bridge, with the profile of the provider, behind a cache.
#[derive(Clone, Debug)]
pub struct BridgedVerifier(Cache<UpstreamVerifier<BridgeVerifier, ProfileVerifier>>);

impl BridgedVerifier {
    /// Returns a handle that invalidates cached users.
    #[must_use]
    pub fn handle(&self) -> CacheHandle {
        self.0.handle()
    }
}

impl Service<BearerToken> for BridgedVerifier {
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
