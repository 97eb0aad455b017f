//! [`Inner`]: the parts of a bridge.

use std::{fmt, sync::Arc};

use portcullis_core::Clock;
use portcullis_grants::{ProviderClient, Refresher, records::SealedStore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    BridgeConfig,
    access_tokens::AccessTokens,
    clients::Clients,
    grants::Assertions,
    limits::RateLimits,
    login::{Consents, Cookies, PendingLogins},
    pages::Pages,
    session::Sessions,
    telemetry::Telemetry,
    urls::Urls,
};

/// The parts of a bridge.
pub(crate) struct Inner {
    pub(crate) config: BridgeConfig,
    pub(crate) urls: Urls,
    pub(crate) provider: ProviderClient,
    pub(crate) refresher: Refresher,
    pub(crate) records: SealedStore,
    pub(crate) sessions: Sessions,
    pub(crate) access_tokens: AccessTokens,
    pub(crate) clients: Clients,
    pub(crate) assertions: Assertions,
    pub(crate) limits: RateLimits,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) cookies: Cookies,
    pub(crate) consents: Consents,
    pub(crate) logins: PendingLogins,
    pub(crate) pages: Pages,
    pub(crate) clock: Arc<dyn Clock>,
    /// What goes on though nobody waits for it.
    pub(crate) tasks: TaskTracker,
    pub(crate) draining: CancellationToken,
}

/// By its issuer: what else there is prints nothing of interest.
impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bridge").field("issuer", &self.config.issuer).finish_non_exhaustive()
    }
}

impl Inner {
    /// Authenticates the client of a request.
    pub(crate) async fn authenticate(
        &self,
        head: &http::request::Parts,
        form: &crate::parameters::Parameters,
    ) -> Result<crate::Client, crate::oauth_error::OAuthError> {
        let caller = self.limits.caller(&head.headers, &head.extensions);
        self.clients.authenticate(&head.headers, form, &caller).await
    }
}
