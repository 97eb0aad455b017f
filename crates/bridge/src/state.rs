//! [`BridgeState`]: the parts of a bridge, of which each handler extracts those that it needs.

use std::{fmt, sync::Arc};

use axum::extract::FromRef;
use portcullis_core::Clock;
use portcullis_refresh::Refresher;
use portcullis_store::SealedStore;
use portcullis_upstream::ProviderClient;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument as _;

use crate::{
    Bridge, BridgeConfig,
    access_tokens::AccessTokens,
    clients::Clients,
    limits::RateLimits,
    login::{Consents, Cookies, LoginCompletion, PendingLogins, ProviderRedirects},
    oauth_error::{ErrorCode, OAuthError},
    pages::Pages,
    session::Sessions,
    telemetry::Telemetry,
    token::TokenIssuer,
};

/// The parts of a bridge.
pub(crate) struct BridgeState {
    pub(crate) config: Arc<BridgeConfig>,
    pub(crate) provider: ProviderClient,
    pub(crate) refresher: Refresher,
    pub(crate) records: SealedStore,
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
    pub(crate) background: BackgroundTasks,
    pub(crate) clock: Arc<dyn Clock>,
    /// Cancelled at shutdown.
    pub(crate) draining: CancellationToken,
}

/// Tasks that continue when the client disconnects, and that a shutdown waits for.
#[derive(Clone, Debug, Default)]
pub(crate) struct BackgroundTasks(TaskTracker);

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
    background: BackgroundTasks,
    clock: Arc<dyn Clock>,
}

impl BackgroundTasks {
    /// Runs `work` to its end on a task of its own, also if the client disconnects.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, OAuthError>> + Send + 'static,
    ) -> Result<T, OAuthError> {
        self.0.spawn(work.in_current_span()).await.unwrap_or_else(|error| {
            tracing::error!(%error, "request task panicked");
            Err(OAuthError::new(ErrorCode::ServerError, "internal error"))
        })
    }

    /// Starts `work` without waiting for it.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(work);
    }

    /// Waits for all tasks.
    pub(crate) async fn shutdown(&self) {
        self.0.close();
        self.0.wait().await;
    }
}

impl fmt::Debug for BridgeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bridge").field("issuer", &self.config.issuer).finish_non_exhaustive()
    }
}
