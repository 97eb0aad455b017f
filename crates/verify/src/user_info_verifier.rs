//! [`UserInfoVerifier`]: identifies a user by the profile at the provider; [`UserInfoEnrichment`]: adds the profile to the result of
//! another verifier.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use portcullis_core::{AuthError, BearerToken, PrincipalKind, Reason, UserContext, VerifyToken};
use portcullis_remote::UserInfoEndpoint;
use tower_layer::Layer;
use tower_service::Service;

use crate::{AudienceCheck, ConfigError, issuer_router::DEFAULT_MAX_LEN};

/// A verifier for opaque tokens of providers without introspection, or with profiles: it identifies the user by the profile.
///
/// A provider returns the profile for every token of the user, issued to any client, so there is no verifier without an
/// [`AudienceCheck`]:
///
/// 1. The size of the token is checked before anything is sent.
/// 2. The audience is checked next. The profile is not requested for a token that was issued to another client.
/// 3. Audience check and profile must name the same subject.
/// 4. The scopes, the expiry and the claims of the user are those of the audience check. Without one
///    ([`danger::any_audience`](crate::danger::any_audience)) they are what the token itself says, where that is more than the profile:
///    Keycloak's roles.
///
/// It makes two or three calls to the provider each time: put a [`CacheLayer`](crate::CacheLayer) around it.
///
/// ```
/// use portcullis_egress::{Egress, EgressConfig};
/// use portcullis_oauth::{ClientAuthentication, providers::Provider};
/// use portcullis_verify::{AudienceCheck, UserInfoEndpoint, UserInfoVerifier};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let egress = Egress::new(EgressConfig::new())?;
/// let users = UserInfoEndpoint::of_provider(Provider::github(), egress.clone());
///
/// let app = ClientAuthentication::basic("Iv1.0123456789abcdef", "secret from a file".into());
/// let audience = AudienceCheck::token_check(Provider::github(), app.clone(), egress.clone())?;
/// assert!(UserInfoVerifier::new(users.clone(), audience).is_ok());
///
/// let elsewhere = Provider::github_enterprise("github.example.com")?;
/// let audience = AudienceCheck::token_check(elsewhere, app, egress)?;
/// assert!(UserInfoVerifier::new(users, audience).is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct UserInfoVerifier {
    endpoint: UserInfoEndpoint,
    audience: AudienceCheck,
    max_len: usize,
}

impl UserInfoVerifier {
    /// Creates a verifier for the users of `endpoint` whose tokens pass `audience`.
    ///
    /// # Errors
    /// [`ConfigError::DifferentIssuers`] if the two have different issuers.
    pub fn new(endpoint: UserInfoEndpoint, audience: AudienceCheck) -> Result<Self, ConfigError> {
        match audience.issuer() {
            Some(issuer) if issuer != endpoint.issuer() => Err(ConfigError::DifferentIssuers {
                user_info: endpoint.issuer().clone(),
                audience_check: issuer.clone(),
            }),
            _ => Ok(Self { endpoint, audience, max_len: DEFAULT_MAX_LEN }),
        }
    }

    /// Sets the maximum length of a token, in bytes. Default: 16 KiB.
    #[must_use]
    pub const fn with_max_len(mut self, max_len: usize) -> Self {
        self.max_len = max_len;
        self
    }

    async fn verify(&self, token: &BearerToken) -> Result<Arc<UserContext>, AuthError> {
        if token.len() > self.max_len {
            return Err(AuthError::new(Reason::TokenTooLarge));
        }
        let verified = self.audience.check(token).await?;
        let profile = self.endpoint.profile(token).await?;
        let Some(verified) = verified else {
            return Ok(Arc::new(profile.into_user_context(self.endpoint.issuer().clone()).build()));
        };
        let sub = verified.as_ref().claim("sub").cloned();
        let user = verified.into_user_context()?;
        profile.check_subject(user.subject(), sub.as_ref())?;
        Ok(Arc::new(user.with_profile(profile.into_parts().0).build()))
    }
}

impl Service<BearerToken> for UserInfoVerifier {
    type Response = Arc<UserContext>;
    type Error = AuthError;
    type Future = Pin<Box<dyn Future<Output = Result<Arc<UserContext>, AuthError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), AuthError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, token: BearerToken) -> Self::Future {
        let this = self.clone();
        Box::pin(async move { this.verify(&token).await })
    }
}

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
            profile.check_subject(user.subject(), user.claims().get("sub"))?;
            // A new context, because contexts are shared.
            Ok(Arc::new(user.with_profile(profile.into_parts().0)))
        })
    }
}
