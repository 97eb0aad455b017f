//! [`UserInfoEnrichment`]: a verifier whose users come with their profile.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use portcullis_core::{AuthError, BearerToken, PrincipalKind, UserContext, VerifyToken};
use tower_service::Service;

use crate::UserInfoEndpoint;

/// A verifier whose users come with their profile, from the provider's UserInfo.
///
/// 1. The verifier inside decides first. UserInfo is not asked about a token that it refuses.
/// 2. The profile must be of the same subject ([OpenID Connect Core 1.0 section
///    5.3.2](https://openid.net/specs/openid-connect-core-1_0.html#UserInfoResponse)).
/// 3. A token that UserInfo calls dead is dead, and while UserInfo does not answer, nobody can tell: the profile is not
///    optional.
/// 4. Users of another issuer, and clients acting for themselves, pass as they are. Their tokens are not sent anywhere.
///
/// One more call to the provider each time: a [`CacheLayer`](crate::CacheLayer) goes *around* it, not inside.
#[derive(Clone, Debug)]
pub struct UserInfoEnrichment<V> {
    inner: V,
    endpoint: UserInfoEndpoint,
}

impl<V> UserInfoEnrichment<V> {
    /// The users of `verifier`, with their profile from `endpoint`.
    #[must_use]
    pub const fn new(verifier: V, endpoint: UserInfoEndpoint) -> Self {
        Self { inner: verifier, endpoint }
    }
}

impl<V> Service<BearerToken> for UserInfoEnrichment<V>
where
    V: VerifyToken,
    V::Future: Send + 'static,
{
    type Response = Arc<UserContext>;
    type Error = AuthError;
    type Future = Pin<Box<dyn Future<Output = Result<Arc<UserContext>, AuthError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), AuthError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, token: BearerToken) -> Self::Future {
        let verification = self.inner.call(token.clone());
        let endpoint = self.endpoint.clone();
        Box::pin(async move {
            let user = verification.await?;
            if user.issuer() != endpoint.issuer() || user.principal().kind() == PrincipalKind::Client {
                return Ok(user);
            }
            let user_info = endpoint.fetch(&token).await?;
            endpoint.check_subject(&user_info, user.subject(), user.claims().get("sub"))?;
            // A new context: the one inside was never given to anybody.
            Ok(Arc::new(user.with_profile(user_info.into_members())))
        })
    }
}
