//! [`UserInfoLayer`] and [`UserInfoEnrichment`]: add the user's profile to the result of another verifier.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use portcullis_core::{AuthError, BearerToken, PrincipalKind, UserContext, VerifyToken};
use tower_layer::Layer;
use tower_service::Service;

use super::UserInfoEndpoint;

/// A layer that adds the user's profile to the result of a verifier; see [`UserInfoEnrichment`].
#[derive(Clone, Debug)]
pub struct UserInfoLayer {
    endpoint: UserInfoEndpoint,
}

impl UserInfoLayer {
    /// Creates a layer that requests profiles from `endpoint`.
    #[must_use]
    pub const fn new(endpoint: UserInfoEndpoint) -> Self {
        Self { endpoint }
    }
}

impl<V> Layer<V> for UserInfoLayer {
    type Service = UserInfoEnrichment<V>;

    fn layer(&self, verifier: V) -> UserInfoEnrichment<V> {
        UserInfoEnrichment::new(verifier, self.endpoint.clone())
    }
}

/// A verifier that adds the user's profile, from the provider's UserInfo, to the result of another verifier.
///
/// 1. The inner verifier decides first. UserInfo is not requested for a token that it rejects.
/// 2. The profile must have the same subject ([OpenID Connect Core 1.0 section
///    5.3.2](https://openid.net/specs/openid-connect-core-1_0.html#UserInfoResponse)).
/// 3. The profile is not optional: a token that UserInfo rejects is rejected, and while UserInfo does not respond, the result is
///    `Unavailable`.
/// 4. Users of another issuer, and clients that act for themselves, pass unchanged. Their tokens are not sent to the endpoint.
///
/// Each verification makes one more call to the provider: put a [`CacheLayer`](crate::CacheLayer) *around* it, not inside.
#[derive(Clone, Debug)]
pub struct UserInfoEnrichment<V> {
    inner: V,
    endpoint: UserInfoEndpoint,
}

impl<V> UserInfoEnrichment<V> {
    /// Creates a verifier that adds the profiles of `endpoint` to the users of `verifier`.
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
            let profile = endpoint.profile(&token).await?;
            endpoint.check_subject(&profile, user.subject(), user.claims().get("sub"))?;
            let (members, _) = profile.into_parts();
            // A new context, because contexts are shared.
            Ok(Arc::new(user.with_profile(members)))
        })
    }
}
