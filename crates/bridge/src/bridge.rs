//! [`Bridge`]: an authorization server for MCP clients.

use std::sync::Arc;

use axum::Router;
use portcullis_core::{Clock, GrantId, Issuer, ResourceUri};
use portcullis_egress::Egress;
use portcullis_grants::{GrantStore, ProviderClient, Refresher, RefresherConfig, StoreError, records::SealedStore};
use portcullis_oauth::protected_resource::ProtectedResourceMetadata;
use tokio::sync::broadcast;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    BridgeConfig, BridgeVerifier,
    access_tokens::AccessTokens,
    clients::Clients,
    endpoints,
    grants::Assertions,
    inner::Inner,
    limits::RateLimits,
    login::{Consents, Cookies, PendingLogins},
    pages::Pages,
    session::{EndReason, Sessions},
    sweep,
    telemetry::Telemetry,
    urls::Urls,
};

/// An authorization server for MCP clients, with login at a provider. Clones are the same bridge.
///
/// It is mounted by [`router`](Self::router), and [`verifier`](Self::verifier) makes users of the tokens that it issues.
#[derive(Clone, Debug)]
pub struct Bridge(Arc<Inner>);

impl Bridge {
    /// A bridge to `provider`, which keeps grants in `vault` and everything else in `records`.
    ///
    /// `egress` fetches what clients say of themselves at URLs of their own choice: give it nothing that reaches into your network,
    /// even if `provider` needs one that does.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn new(
        config: BridgeConfig,
        provider: ProviderClient,
        vault: GrantStore,
        records: SealedStore,
        egress: Egress,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let refresher = Refresher::new(
            vault,
            provider.clone(),
            Arc::clone(&clock),
            RefresherConfig::for_provider(provider.provider()),
        );
        let telemetry = Arc::new(Telemetry::new());
        let limits = RateLimits::new(&config, Arc::clone(&telemetry));
        let sessions = Sessions::new(
            records.clone(),
            refresher.clone(),
            config.revokes_upstream(provider.provider()).then(|| provider.clone()),
            Arc::clone(&clock),
            Arc::clone(&telemetry),
            config.max_sessions,
        );
        let bridge = Self(Arc::new(Inner {
            urls: Urls::new(&config.issuer),
            clients: Clients::new(
                &config,
                records.clone(),
                sessions.clone(),
                egress,
                limits.clone(),
                Arc::clone(&clock),
            ),
            assertions: Assertions::new(&config, records.clone(), Arc::clone(&clock)),
            access_tokens: AccessTokens::new(&config),
            limits,
            telemetry,
            cookies: Cookies::new(&Urls::new(&config.issuer)),
            consents: Consents::new(&config, records.clone(), Arc::clone(&clock)),
            logins: PendingLogins::new(&config, records.clone(), Arc::clone(&clock)),
            pages: Pages::new(&config, provider.provider()),
            provider,
            refresher,
            records,
            sessions,
            clock,
            config,
            tasks: TaskTracker::new(),
            draining: CancellationToken::new(),
        }));
        sweep::start(&bridge.0);
        bridge
    }

    /// Its endpoints, below the path of its issuer, and its metadata at the well-known places of the host.
    ///
    /// The app with the gate around it is merged *into* this, and not the other way round: axum keeps the fallback of the router that
    /// is merged in, and in that of the app the gate serves the metadata of the resource.
    pub fn router(&self) -> Router {
        endpoints::router(self)
    }

    /// Makes users of its access tokens for the (first) resource.
    #[must_use]
    pub fn verifier(&self) -> BridgeVerifier {
        BridgeVerifier::new(self.clone(), self.0.config.resources[0].clone())
    }

    /// Makes users of its access tokens for `resource`.
    #[must_use]
    pub fn verifier_for(&self, resource: ResourceUri) -> BridgeVerifier {
        BridgeVerifier::new(self.clone(), resource)
    }

    /// What it is called: the `authorization_servers` of the resource's metadata.
    #[must_use]
    pub fn issuer(&self) -> &Issuer {
        &self.0.config.issuer
    }

    /// What the (first) resource says of itself, for the gate in front of it: its tokens are the bridge's.
    #[must_use]
    pub fn resource_metadata(&self) -> ProtectedResourceMetadata {
        let BridgeConfig { issuer, resources, scopes, .. } = &self.0.config;
        ProtectedResourceMetadata::new(resources[0].clone(), issuer.clone()).with_scopes_supported(scopes)
    }

    /// Where its users log in, and whom tools call with their tokens.
    #[must_use]
    pub fn provider(&self) -> &ProviderClient {
        &self.0.provider
    }

    /// What keeps the provider's tokens fresh.
    #[must_use]
    pub fn refresher(&self) -> &Refresher {
        &self.0.refresher
    }

    /// Ends a session: its tokens, its grant, and every context that was made from it, at once in this process. `false` if there was
    /// none.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be written down. In this process its contexts are withdrawn nevertheless.
    pub async fn end(&self, session: GrantId) -> Result<bool, StoreError> {
        self.0.sessions.end(session, EndReason::Revoked).await
    }

    /// Ends all sessions of a user, whom `issuer` calls `subject`: for an administrator, or a provider that logs its users out. How
    /// many. It looks at every session there is.
    ///
    /// # Errors
    /// [`StoreError`]; some may have ended then.
    pub async fn end_sessions_of(&self, issuer: &Issuer, subject: &str) -> Result<usize, StoreError> {
        self.0.sessions.end_of(issuer, subject).await
    }

    /// The sessions whose contexts are withdrawn because of something that happened in this process, from now on: the session has ended,
    /// or one of its access tokens was taken back. For telling other processes, which [invalidate](Self::invalidate) them too.
    ///
    /// A listener that is a thousand late misses some, and is told so.
    #[must_use]
    pub fn invalidations(&self) -> broadcast::Receiver<GrantId> {
        self.0.sessions.invalidations()
    }

    /// Withdraws the contexts that this process has made of a session, because of something that happened in another one. Nothing else
    /// changes: whose token still works is known again at the next request.
    pub fn invalidate(&self, session: GrantId) {
        self.0.sessions.invalidate(session);
    }

    /// Waits for the logins and refreshes under way, and until the provider has been told what it was to be told. Call it when no more
    /// requests come. How many grants were lost because they could never be saved.
    pub async fn shutdown(&self) -> usize {
        self.0.draining.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
        self.0.sessions.shutdown().await;
        self.0.refresher.shutdown().await
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }
}
