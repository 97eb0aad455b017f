//! [`Enriched`]: a verifier whose users come with their profile.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use portcullis_core::{AuthError, BearerToken, PrincipalKind, Reason, UserContext, VerifyToken};
use serde_json::{Map, Value};
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
pub struct Enriched<V> {
    inner: V,
    endpoint: UserInfoEndpoint,
}

impl<V> Enriched<V> {
    /// The users of `verifier`, with their profile from `endpoint`.
    #[must_use]
    pub const fn new(verifier: V, endpoint: UserInfoEndpoint) -> Self {
        Self { inner: verifier, endpoint }
    }
}

impl<V> Service<BearerToken> for Enriched<V>
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
            if user_info.subject() != user.subject() {
                return Err(AuthError::new(Reason::SubjectMismatch));
            }
            Ok(Arc::new(with_profile(&user, user_info.into_members())))
        })
    }
}

/// `user` with another profile. A new context: the one inside was never given to anybody.
fn with_profile(user: &UserContext, profile: Map<String, Value>) -> UserContext {
    let mut context = UserContext::assertion(user.issuer().clone(), user.subject())
        .with_kind(user.principal().kind())
        .with_scopes(user.scopes().clone())
        .with_claims(user.claims().clone())
        .with_profile(profile);
    if let Some(client_id) = user.client_id() {
        context = context.with_client_id(client_id);
    }
    if let Some(expires_at) = user.expires_at() {
        context = context.with_expires_at(expires_at);
    }
    context.build()
}
