//! [`BridgeVerifier`]: who the user of one of the bridge's own access tokens is.

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
    session::{AccessEntry, Good, TokenStatus},
};

/// A tower service from an access token of the bridge to its user: a [`VerifyToken`](portcullis_core::VerifyToken).
///
/// 1. Only the bridge's own tokens, and only those for this resource. A provider's token is none
///    (MCP, Access Token Privilege Restriction).
/// 2. The user is who logged in, with the profile as it was then, and a way to the provider:
///    [`UserContext::upstream`]. Its name is that of the provider: (issuer, subject).
/// 3. When the session ends, because of a revocation, a reused code or refresh token, or because the grant at the provider ended, its
///    contexts are withdrawn at once in this process, from caches and open streams too.
/// 4. A session whose grant at the provider has ended is over: its user has to log in again.
/// 5. A store that cannot be reached is `Unavailable`.
///
/// It asks the store for every token: put a cache around it. For a profile that is newer than the login, put an
/// [`UpstreamLayer`](portcullis_grants::UpstreamLayer) around it as well.
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
        let inner = self.bridge.inner();
        let now = inner.clock.now();
        let (id, hash) = inner.access_tokens.identify(token, now)?;
        let Good { session, entry, upstream, confirmed_at } = match inner.sessions.token_status(id, hash).await? {
            TokenStatus::Active(good) => *good,
            // Revoked here, where it is 401 and sends the client to the login, and not by each tool in its own words.
            TokenStatus::GrantEnded => return Err(AuthError::new(Reason::GrantEnded)),
            TokenStatus::Inactive => return Err(AuthError::new(Reason::Inactive)),
        };
        if session.resource != self.resource {
            return Err(AuthError::new(Reason::WrongAudience));
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
