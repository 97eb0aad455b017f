//! [`BridgeVerifier`]: verifies the bridge's access tokens.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use portcullis_core::{AuthError, BearerToken, Reason, ResourceUri, UserContext};
use tower_service::Service;

use crate::{
    Bridge,
    session::{AccessEntry, ActiveToken, TokenStatus},
};

/// A tower service that verifies the bridge's access tokens: a [`VerifyToken`](portcullis_core::VerifyToken).
///
/// 1. It accepts only tokens of the bridge for this resource. It does **not** accept the provider's tokens
///    (MCP, Access Token Privilege Restriction).
/// 2. The user context has the profile of the login, the user's identity at the provider (issuer, subject), and a handle for the
///    provider's tokens: [`UserContext::upstream`].
/// 3. When the session ends, by revocation, reuse of a code or refresh token, or the end of the grant at the provider, its contexts are
///    invalidated immediately in this process, including caches and open streams.
/// 4. A session whose grant at the provider has ended is over: its user has to log in again.
/// 5. A store that cannot be reached is `Unavailable`.
///
/// It reads the store for every token: put a cache around it. For a profile that is newer than the login, put an
/// [`UpstreamLayer`](portcullis_upstream::UpstreamLayer) around it as well.
#[derive(Clone, Debug)]
pub struct BridgeVerifier {
    bridge: Bridge,
    resource: ResourceUri,
}

impl BridgeVerifier {
    pub(crate) const fn new(bridge: Bridge, resource: ResourceUri) -> Self {
        Self { bridge, resource }
    }

    async fn verify(&self, token: &BearerToken) -> Result<Arc<UserContext>, AuthError> {
        let state = self.bridge.state();
        let now = state.clock.now();
        let (id, hash) = state.access_tokens.identify(token, now).await?;
        let ActiveToken { session, entry, upstream, confirmed_at } = match state.sessions.token_status(id, hash).await?
        {
            TokenStatus::Active(active) => *active,
            // Rejected here with 401, so that the client starts a login, instead of in each tool.
            TokenStatus::GrantEnded => return Err(AuthError::new(Reason::GrantEnded)),
            TokenStatus::Inactive => return Err(AuthError::new(Reason::Inactive)),
        };
        if session.resource != self.resource {
            let problem = format!("the token is for {}; accepted is {} (`resource`)", session.resource, self.resource);
            return Err(AuthError::new(Reason::WrongAudience).with_source(problem));
        }
        let AccessEntry { expires_at, scopes, .. } = entry;
        let scopes = scopes.unwrap_or_else(|| session.scopes.clone());
        let user = session
            .user
            .context()
            .with_client_id(&session.client_id)
            .with_scopes(scopes)
            .with_expires_at(expires_at)
            .with_confirmed_at(confirmed_at)
            .with_upstream(upstream);
        Ok(Arc::new(user.build()))
    }
}

impl Service<BearerToken> for BridgeVerifier {
    type Response = Arc<UserContext>;
    type Error = AuthError;
    type Future = Pin<Box<dyn Future<Output = Result<Arc<UserContext>, AuthError>> + Send>>;

    /// Always ready.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), AuthError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, token: BearerToken) -> Self::Future {
        let this = self.clone();
        Box::pin(async move { this.verify(&token).await })
    }
}
