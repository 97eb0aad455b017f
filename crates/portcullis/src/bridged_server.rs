//! [`BridgedServer`]: the quick start with a login, from a provider to a gate and a bridge.

use std::{sync::Arc, time::Duration};

use portcullis_bridge::{Bridge, BridgeConfig, BridgeVerifier};
use portcullis_core::{Clock, SystemClock};
use portcullis_egress::{Egress, EgressConfig};
use portcullis_grants::{
    GrantStore, KeyRing, MemoryStore, ProfileVerifier, ProviderClient, TokenStore, UpstreamLayer, UpstreamVerifier,
    records::{MemoryRecords, RecordStore, SealedStore},
};
use portcullis_layer::AuthConfig;
use portcullis_oauth::{ClientAuthentication, providers::Provider};
use portcullis_verify::{Cache, CacheConfig};
use tower_layer::Layer as _;

use crate::BuildError;

/// The users of a [`BridgedServer`]: by the bridge's tokens, with the provider's profile, remembered.
pub type BridgedUsers = Cache<UpstreamVerifier<BridgeVerifier, ProfileVerifier>>;

/// The quick start with a login: a bridge to a provider, and a gate that takes the bridge's tokens and no others.
///
/// Users are who they are at the provider, with a profile that is as new as the cache is young, and a way to their upstream token.
/// It does nothing that you cannot: put [`Bridge`], [`UpstreamVerifier`] and [`Cache`] together yourself for anything else.
///
/// ```
/// use axum::{Router, routing::post};
/// use portcullis::{
///     AuthLayer, BridgedServer, Issuer, ResourceUri, ScopeSet,
///     extract::User,
///     bridge::BridgeConfig,
///     oauth::{ClientAuthentication, providers::Provider},
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
/// // Not the other way round: of two routers, axum keeps the fallback of the one that is merged in.
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
    resource_name: Option<String>,
    store: Option<(GrantStore, SealedStore)>,
    cache: CacheConfig,
    outage_grace: Duration,
    provider_egress: EgressConfig,
    client_egress: EgressConfig,
    clock: Arc<dyn Clock>,
}

impl BridgedServer {
    /// A server with the bridge that `config` describes, whose users log in at `provider`, where this server is called `client`.
    pub fn new(config: BridgeConfig, provider: Provider, client: ClientAuthentication) -> Self {
        Self {
            config,
            provider,
            client,
            resource_name: None,
            store: None,
            cache: CacheConfig::new(),
            outage_grace: Duration::from_hours(24),
            provider_egress: EgressConfig::new(),
            client_egress: EgressConfig::new(),
            clock: Arc::new(SystemClock::new()),
        }
    }

    /// What the server is called, for people.
    pub fn with_resource_name(mut self, name: &str) -> Self {
        self.resource_name = Some(name.to_owned());
        self
    }

    /// Keeps clients, sessions and the provider's tokens in `store`, sealed with `keys`. Default: in memory, gone with the process.
    ///
    /// The keys are tried before anything rests on them: see [`GrantStore::check_keys`].
    ///
    /// # Errors
    /// [`BuildError::EphemeralKey`] if the store outlives the process and the keys do not; [`BuildError::WrongKeys`] if no key of the ring
    /// opens what is there; [`BuildError::Store`] if it cannot be read or written.
    pub async fn with_store<S: TokenStore + RecordStore>(self, store: S, keys: KeyRing) -> Result<Self, BuildError> {
        let store = Arc::new(store);
        let vault = GrantStore::open(Arc::clone(&store) as _, keys.clone()).await?;
        Ok(self.with_vault(vault, SealedStore::open(store, keys).await?))
    }

    /// As [`with_store`](Self::with_store), for a store that has been opened already.
    pub fn with_vault(mut self, vault: GrantStore, records: SealedStore) -> Self {
        self.store = Some((vault, records));
        self
    }

    /// How much is remembered of who is calling, and for how long: a change at the provider is noticed that late.
    pub fn with_cache(mut self, cache: CacheConfig) -> Self {
        self.cache = cache;
        self
    }

    /// For how long after the provider last confirmed a user, by a login, a refresh or a profile, the user goes on while the provider cannot be
    /// asked, with the profile as it was last known. Default: 24 hours. Zero: not at all, which is 503.
    ///
    /// See [`UpstreamLayer::with_outage_grace`].
    pub const fn with_outage_grace(mut self, grace: Duration) -> Self {
        self.outage_grace = grace;
        self
    }

    /// Where requests to the provider may go. Default: to public addresses.
    pub fn with_provider_egress(mut self, egress: EgressConfig) -> Self {
        self.provider_egress = egress;
        self
    }

    /// Where requests may go that clients are the cause of: they describe themselves at URLs of their own choice. Default: to public
    /// addresses. Leave it, except for tests.
    pub fn with_client_egress(mut self, egress: EgressConfig) -> Self {
        self.client_egress = egress;
        self
    }

    /// The clock that everything is judged by.
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The configuration for [`AuthLayer`](crate::AuthLayer), and the bridge, into whose [router](Bridge::router) the app is to be merged.
    ///
    /// # Errors
    /// [`BuildError::Egress`] if the HTTP client cannot be made.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn build(self) -> Result<(AuthConfig<BridgedUsers>, Bridge), BuildError> {
        let Self { config, provider, client, resource_name, store, cache, outage_grace, .. } = self;
        let (provider_egress, client_egress, clock) = (self.provider_egress, self.client_egress, self.clock);
        let provider = ProviderClient::new(provider, client, Egress::new(provider_egress)?, Arc::clone(&clock));
        let profiles = provider.profile_verifier();
        let (vault, records) = store.map_or_else(|| in_memory(&clock), Ok)?;
        let bridge = Bridge::new(config, provider, vault, records, Egress::new(client_egress)?, Arc::clone(&clock));
        // Those that an enterprise's identity provider vouches for have no grant.
        let users = UpstreamLayer::new(profiles)
            .with_users_without_grant()
            .with_outage_grace(outage_grace, Arc::clone(&clock))
            .layer(bridge.verifier());
        let users = Cache::around(users, cache.with_clock(Arc::clone(&clock)));
        let metadata = bridge.resource_metadata();
        let metadata = resource_name.iter().fold(metadata, |metadata, name| metadata.with_resource_name(name));
        Ok((AuthConfig::new(metadata, users).with_clock(clock), bridge))
    }
}

fn in_memory(clock: &Arc<dyn Clock>) -> Result<(GrantStore, SealedStore), BuildError> {
    let keys = KeyRing::ephemeral();
    let vault = GrantStore::new(Arc::new(MemoryStore::new(Arc::clone(clock))), keys.clone())?;
    Ok((vault, SealedStore::new(Arc::new(MemoryRecords::new(Arc::clone(clock))), keys)?))
}
