//! [`ProfileVerifier`]: who the user of a provider's token is, by the provider's profile.

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

/// A verifier of a provider's tokens: the user is who the provider's profile says.
///
/// **It is no gate.** A profile says *who*, never *for whom*: any token of the user gets the same answer, whoever it was issued to.
/// It is for tokens that this server got itself, inside an [`UpstreamVerifier`](crate::UpstreamVerifier).
///
/// 1. A token that the provider refuses is [`Reason::Inactive`].
/// 2. A provider that fails is `Unavailable`, and gets one call per back-off window.
/// 3. What the profile lacks is asked for as well (GitHub's e-mail address, Atlassian's sites). That nobody may know it is no
///    failure.
///
/// The claims are what the token itself says, where that is more than the profile: Keycloak's roles.
#[derive(Clone, Debug)]
pub struct ProfileVerifier {
    provider: Arc<Provider>,
    requests: EndpointClient,
}

impl ProfileVerifier {
    /// The users of `provider`.
    #[must_use]
    pub fn new(provider: Arc<Provider>, egress: Egress, clock: Arc<dyn Clock>) -> Self {
        let requests = EndpointClient::new(egress, clock, RequestKind::new("userinfo"))
            .with_provider(Arc::clone(&provider))
            .with_unclear_refusal_pause(Duration::ZERO);
        Self { provider, requests }
    }

    /// Who the user of `token` is.
    ///
    /// # Errors
    /// `InvalidToken` if the provider refuses the token, else `Unavailable`.
    pub async fn profile(&self, token: &BearerToken) -> Result<Profile, AuthError> {
        let no_endpoint = || AuthError::new(Reason::ClientRefused).with_source("the provider has no profiles");
        let request = self.provider.profile_request(token).ok_or_else(no_endpoint)?;
        let profile = self.ask(token, request, |response| self.provider.process_profile(response, token)).await?;
        match self.provider.supplement_request(&profile, token) {
            None => Ok(profile),
            Some(request) => {
                let supplemented = |response: &_| self.provider.process_supplement(profile, response);
                self.ask(token, request, supplemented).await
            }
        }
    }

    async fn ask<T>(
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
        // Claims that cannot be read are not the token's fault: the provider has just accepted it.
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
