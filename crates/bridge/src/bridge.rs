//! [`Bridge`]: an authorization server for MCP clients.

use std::{fmt, sync::Arc};

use axum::{Router, extract::FromRef};
use portcullis_core::{Clock, GrantId, Issuer, ResourceUri, SystemClock};
use portcullis_egress::Egress;
use portcullis_oauth::protected_resource::ProtectedResourceMetadata;
use portcullis_refresh::{GrantStore, Refresher, RefresherConfig};
use portcullis_store::{ConfirmedClock, SealedStore, StoreError};
use portcullis_upstream::ProviderClient;
use tokio::sync::broadcast;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    BridgeConfig, BridgeVerifier,
    access_tokens::AccessTokens,
    clients::Clients,
    endpoints,
    limits::RateLimits,
    login::{Consents, Cookies, LoginCompletion, PendingLogins, ProviderRedirects},
    pages::Pages,
    session::{EndReason, Sessions},
    sweep::Sweep,
    telemetry::Telemetry,
    token::TokenIssuer,
};

/// An authorization server for MCP clients, with login at a provider. Clones share their state.
///
/// [`router`](Self::router) serves its endpoints, and [`verifier`](Self::verifier) verifies the tokens that it issues.
#[derive(Clone, Debug)]
pub struct Bridge(Arc<BridgeState>);

impl Bridge {
    /// Creates a builder for a bridge to `provider`.
    ///
    /// `egress` fetches the metadata documents of clients, at URLs of their choice: it must not reach private networks, even if the
    /// one of `provider` does.
    pub fn builder(config: BridgeConfig, provider: ProviderClient, egress: Egress) -> BridgeBuilder {
        BridgeBuilder { config, provider, egress, clock: Arc::new(SystemClock::new()) }
    }

    fn new(
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
            RefresherConfig::for_provider(provider.provider()).with_clock(Arc::clone(&clock)),
        );
        let config = Arc::new(config);
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
        let clients = Arc::new(Clients::new(
            &config,
            records.clone(),
            sessions.clone(),
            egress,
            limits.clone(),
            Arc::clone(&clock),
        ));
        let access_tokens = Arc::new(AccessTokens::new(&config, records.clone(), Arc::clone(&clock)));
        let cookies = Cookies::new(&config.urls());
        let consents = Arc::new(Consents::new(&config, records.clone(), Arc::clone(&clock)));
        let pending_logins = Arc::new(PendingLogins::new(&config, records.clone(), Arc::clone(&clock)));
        let tasks = TaskTracker::new();
        let token_issuer = Arc::new(TokenIssuer::new(
            Arc::clone(&config),
            Arc::clone(&clients),
            sessions.clone(),
            Arc::clone(&access_tokens),
            records.clone(),
            limits.clone(),
            Arc::clone(&telemetry),
            Arc::clone(&clock),
        ));
        let provider_redirects = Arc::new(ProviderRedirects::new(
            Arc::clone(&config),
            provider.clone(),
            Arc::clone(&pending_logins),
            limits.clone(),
            Arc::clone(&telemetry),
        ));
        let login_completion = Arc::new(LoginCompletion::new(
            Arc::clone(&config),
            provider.clone(),
            sessions.clone(),
            Arc::clone(&consents),
            tasks.clone(),
            Arc::clone(&clock),
        ));
        let pages = Arc::new(Pages::new(&config, provider.provider()));
        let draining = CancellationToken::new();
        Sweep {
            records,
            sessions: sessions.clone(),
            access_tokens: Arc::clone(&access_tokens),
            telemetry: Arc::clone(&telemetry),
            clock: ConfirmedClock::new(Arc::clone(&clock)),
        }
        .start(draining.clone());
        Self(Arc::new(BridgeState {
            config,
            provider,
            refresher,
            sessions,
            access_tokens,
            clients,
            token_issuer,
            limits,
            telemetry,
            cookies,
            consents,
            pending_logins,
            provider_redirects,
            login_completion,
            pages,
            tasks,
            clock,
            draining,
        }))
    }

    /// Returns the router of its endpoints, which are below the path of the issuer, and of its metadata at the well-known paths of the host.
    ///
    /// Merge the app with the auth layer *into* this router, not the other way round: axum keeps the fallback of the router that is merged
    /// in, and in the app's fallback the auth layer serves the metadata of the resource.
    pub fn router(&self) -> Router {
        endpoints::router(self)
    }

    /// Returns a verifier of access tokens for the (first) resource.
    #[must_use]
    pub fn verifier(&self) -> BridgeVerifier {
        BridgeVerifier::new(self.clone(), self.0.config.resources[0].clone())
    }

    /// Returns a verifier of access tokens for `resource`.
    #[must_use]
    pub fn verifier_for(&self, resource: ResourceUri) -> BridgeVerifier {
        BridgeVerifier::new(self.clone(), resource)
    }

    /// Returns its issuer, which the resource's metadata names in `authorization_servers`.
    #[must_use]
    pub fn issuer(&self) -> &Issuer {
        &self.0.config.issuer
    }

    /// Returns the metadata of the (first) resource, for its auth layer. Its scopes are those that
    /// [basic use requires](BridgeConfig::with_default_scopes), because clients request all of them at their first login
    /// (MCP authorization, Scope Selection Strategy).
    #[must_use]
    pub fn resource_metadata(&self) -> ProtectedResourceMetadata {
        let BridgeConfig { issuer, resources, resource_name, .. } = &*self.0.config;
        let metadata = ProtectedResourceMetadata::new(resources[0].clone(), issuer.clone())
            .with_scopes_supported(self.0.config.basic_scopes());
        resource_name.iter().fold(metadata, |metadata, name| metadata.with_resource_name(name))
    }

    /// Returns the client of the provider.
    #[must_use]
    pub fn provider(&self) -> &ProviderClient {
        &self.0.provider
    }

    /// Returns the refresher of the provider's tokens.
    #[must_use]
    pub fn refresher(&self) -> &Refresher {
        &self.0.refresher
    }

    /// Ends a session: its tokens, its grant, and immediately its user contexts in this process. Returns `false` if there is no such
    /// session.
    ///
    /// # Errors
    /// [`StoreError`] if the end cannot be stored. The contexts in this process are invalidated nevertheless.
    pub async fn end(&self, session: GrantId) -> Result<bool, StoreError> {
        self.0.sessions.end(session, EndReason::Revoked).await
    }

    /// Ends all sessions of the user `subject` of `issuer`, and returns their number: for administrators, and for logout at the provider.
    /// It reads all sessions.
    ///
    /// # Errors
    /// [`StoreError`], after which some sessions may have ended.
    pub async fn end_sessions_of(&self, issuer: &Issuer, subject: &str) -> Result<usize, StoreError> {
        self.0.sessions.end_all_for_user(issuer, subject).await
    }

    /// Returns a feed of the sessions whose contexts this process invalidates from now on, because the session ended or one of its access
    /// tokens was revoked. Other processes [invalidate](Self::invalidate) them too.
    ///
    /// A receiver that is more than a thousand entries behind misses some, and gets an error.
    #[must_use]
    pub fn invalidations(&self) -> broadcast::Receiver<GrantId> {
        self.0.sessions.invalidations()
    }

    /// Invalidates the contexts of a session in this process, because of an event in another one. It does **not** end the session: a token
    /// that is still valid gets a new context at the next request.
    pub fn invalidate(&self, session: GrantId) {
        self.0.sessions.invalidate(session);
    }

    /// Waits for logins, refreshes and revocations in flight. Call it after the last request. Returns the number of grants that were lost
    /// because they could not be saved.
    pub async fn shutdown(&self) -> usize {
        self.0.draining.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
        self.0.sessions.shutdown().await;
        self.0.refresher.shutdown().await
    }

    pub(crate) fn state(&self) -> &BridgeState {
        &self.0
    }
}

/// A builder for a [`Bridge`], created by [`Bridge::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct BridgeBuilder {
    config: BridgeConfig,
    provider: ProviderClient,
    egress: Egress,
    clock: Arc<dyn Clock>,
}

impl BridgeBuilder {
    /// Sets the clock. Default: [`SystemClock`].
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Builds the bridge, which stores the grants of the provider in `grants` and everything else in `records`.
    ///
    /// # Panics
    /// Panics outside of a tokio runtime.
    #[must_use]
    pub fn build(self, grants: GrantStore, records: SealedStore) -> Bridge {
        Bridge::new(self.config, self.provider, grants, records, self.egress, self.clock)
    }
}

/// The parts of a bridge.
pub(crate) struct BridgeState {
    pub(crate) config: Arc<BridgeConfig>,
    pub(crate) provider: ProviderClient,
    pub(crate) refresher: Refresher,
    pub(crate) sessions: Sessions,
    pub(crate) access_tokens: Arc<AccessTokens>,
    pub(crate) clients: Arc<Clients>,
    pub(crate) token_issuer: Arc<TokenIssuer>,
    pub(crate) limits: RateLimits,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) cookies: Cookies,
    pub(crate) consents: Arc<Consents>,
    pub(crate) pending_logins: Arc<PendingLogins>,
    pub(crate) provider_redirects: Arc<ProviderRedirects>,
    pub(crate) login_completion: Arc<LoginCompletion>,
    pub(crate) pages: Arc<Pages>,
    /// Requests that continue when the client disconnects.
    pub(crate) tasks: TaskTracker,
    pub(crate) clock: Arc<dyn Clock>,
    /// Cancelled at shutdown, and when the bridge is dropped.
    pub(crate) draining: CancellationToken,
}

macro_rules! sub_states {
    ($($field:ident: $type:ty),* $(,)?) => {
        $(impl FromRef<Bridge> for $type {
            fn from_ref(bridge: &Bridge) -> Self {
                bridge.state().$field.clone()
            }
        })*
    };
}

sub_states! {
    config: Arc<BridgeConfig>,
    sessions: Sessions,
    access_tokens: Arc<AccessTokens>,
    clients: Arc<Clients>,
    token_issuer: Arc<TokenIssuer>,
    limits: RateLimits,
    telemetry: Arc<Telemetry>,
    cookies: Cookies,
    consents: Arc<Consents>,
    pending_logins: Arc<PendingLogins>,
    provider_redirects: Arc<ProviderRedirects>,
    login_completion: Arc<LoginCompletion>,
    pages: Arc<Pages>,
    tasks: TaskTracker,
    clock: Arc<dyn Clock>,
}

impl Drop for BridgeState {
    fn drop(&mut self) {
        self.draining.cancel();
    }
}

impl fmt::Debug for BridgeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bridge").field("issuer", &self.config.issuer).finish_non_exhaustive()
    }
}
