//! The measured bridge: with a store in a file, and a provider.

use std::{error::Error, path::Path, sync::Arc, time::Duration};

use axum::Router;
use portcullis::{
    Issuer, ResourceUri, ScopeSet,
    egress::{Egress, EgressConfig},
    oauth::{ClientAuthentication, providers::Provider},
    refresh::GrantStore,
    store::{KeyRing, SealedStore},
    types::SystemClock,
    upstream::ProviderClient,
    verify::discover,
};
use portcullis_bridge::{Bridge, BridgeConfig, Client, RedirectUri};
use portcullis_store_sqlite::{SqliteConfig, SqliteStore};
use portcullis_testkit::IdentityProvider;

pub(crate) const ISSUER: &str = "https://mcp.example.com";
pub(crate) const RESOURCE: &str = "https://mcp.example.com/mcp";
pub(crate) const CLIENT: &str = "client";
pub(crate) const REDIRECT_URI: &str = "https://client.example.com/callback";

/// The bridge and its store.
pub(crate) struct Site {
    pub(crate) bridge: Bridge,
    pub(crate) router: Router,
    pub(crate) provider: ProviderClient,
}

impl Site {
    /// Creates the bridge with a store in `folder`, which is on the disk of the sources.
    pub(crate) async fn new(folder: &Path, provider_url: &str) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let clock = Arc::new(SystemClock::new());
        let egress = Egress::new(EgressConfig::new().with_loopback_allowed())?;
        let metadata = discover(&egress, &Issuer::new(provider_url)?).await?;
        let app = ClientAuthentication::basic(IdentityProvider::CLIENT_ID, IdentityProvider::CLIENT_SECRET.into());
        let provider = ProviderClient::new(Provider::oidc(&metadata)?, app, egress.clone()).with_clock(clock.clone());
        let store =
            Arc::new(SqliteStore::open(SqliteConfig::new(folder.join("bridge.db")).with_clock(clock.clone())).await?);
        let keys = KeyRing::new([&[7; 32]]).ok_or("a key")?;
        let client = Client::public(CLIENT, "A client", vec![RedirectUri::new(REDIRECT_URI)?]);
        let config = BridgeConfig::new(Issuer::new(ISSUER)?, ResourceUri::new(RESOURCE)?)
            .with_scopes(ScopeSet::parse("mcp:read")?)
            .with_upstream_scopes(ScopeSet::parse("openid profile email offline_access")?)
            // No token expires while the store is filled.
            .with_access_token_ttl(Duration::from_hours(12))
            .with_client(client)?;
        let vault = GrantStore::new(store.clone(), keys.clone())?;
        let bridge = Bridge::builder(config, provider.clone(), egress)
            .with_clock(clock)
            .build(vault, SealedStore::new(store, keys)?);
        Ok(Self { router: bridge.router(), bridge, provider })
    }
}
