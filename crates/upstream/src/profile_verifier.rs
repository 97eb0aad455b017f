//! [`ProfileVerifier`]: identifies the user of a provider's token by the provider's profile.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use portcullis_core::{AuthError, BearerToken, Clock, Reason, UserContext};
use portcullis_egress::{Egress, RequestKind};
use portcullis_oauth::{
    ProtocolError,
    providers::{Profile, Provider},
};
use portcullis_remote::EndpointClient;
use tower_service::Service;

/// A verifier of a provider's tokens that identifies the user by the provider's profile.
///
/// It does **not** check the audience: the provider returns the same profile for any token of the user, issued to any client. It is
/// for tokens that this server obtained itself, inside an [`UpstreamVerifier`](crate::UpstreamVerifier).
///
/// 1. A token that the provider rejects is [`Reason::Inactive`].
/// 2. A provider that fails is `Unavailable`, and gets one call per back-off window.
/// 3. Members that the profile lacks are requested as well (GitHub's e-mail address, Atlassian's sites). If the provider does not
///    return them, the profile is used without them.
///
/// The claims are those of the token itself, if it has more than the profile: Keycloak's roles.
#[derive(Clone, Debug)]
pub struct ProfileVerifier {
    provider: Arc<Provider>,
    requests: EndpointClient,
}

impl ProfileVerifier {
    /// Creates a verifier for the users of `provider`.
    #[must_use]
    pub fn new(provider: Arc<Provider>, egress: Egress) -> Self {
        let requests = EndpointClient::new(egress, RequestKind::new("userinfo"))
            .with_provider(Arc::clone(&provider))
            .with_unclear_refusal_pause(Duration::ZERO);
        Self { provider, requests }
    }

    /// Sets the clock for a `Retry-After` that is a date. Default: [`SystemClock`](portcullis_core::SystemClock).
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.requests = self.requests.with_clock(clock);
        self
    }

    /// Requests the profile of the user of `token`.
    ///
    /// # Errors
    /// `InvalidToken` if the provider refuses the token, else `Unavailable`.
    pub async fn profile(&self, token: &BearerToken) -> Result<Profile, AuthError> {
        let no_endpoint = || AuthError::new(Reason::ClientRefused).with_source("the provider has no profiles");
        let request = self.provider.profile_request(token).ok_or_else(no_endpoint)?;
        let profile = self.send(token, request, |response| self.provider.process_profile(response, token)).await?;
        match self.provider.supplement_request(&profile, token) {
            None => Ok(profile),
            Some(request) => {
                let supplemented = |response: &_| self.provider.process_supplement(profile, response);
                self.send(token, request, supplemented).await
            }
        }
    }

    async fn send<T>(
        &self,
        token: &BearerToken,
        request: Request<Bytes>,
        process: impl FnOnce(&Response<Bytes>) -> Result<T, ProtocolError>,
    ) -> Result<T, AuthError> {
        Ok(self.requests.send(token.fingerprint(), request, process).await?)
    }

    async fn verify(&self, token: &BearerToken) -> Result<Arc<UserContext>, AuthError> {
        let profile = self.profile(token).await?;
        let user = UserContext::builder(self.provider.issuer().clone(), profile.subject());
        let (members, claims) = profile.into_parts();
        // Claims that cannot be read are no reason to reject the token: the provider has just accepted it.
        let user = user.with_scopes(claims.scopes().unwrap_or_default()).with_profile(members);
        let user = match claims.expires_at().unwrap_or_default() {
            Some(expires_at) => user.with_expires_at(expires_at),
            None => user,
        };
        Ok(Arc::new(user.with_claims(claims.into_inner()).build()))
    }
}

impl Service<BearerToken> for ProfileVerifier {
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
