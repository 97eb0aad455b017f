//! [`UserInfoVerifier`]: a user by the profile, and an audience check.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use portcullis_core::{AuthError, BearerToken, Reason, UserContext};
use tower_service::Service;

use super::UserInfoEndpoint;
use crate::{AudienceCheck, ConfigError, token_size::DEFAULT_MAX_LEN};

/// A verifier for providers whose tokens say nothing: the user is who the provider's UserInfo says.
///
/// UserInfo answers for every token of the user, whoever it was issued to, so there is no verifier without an
/// [`AudienceCheck`]:
///
/// 1. The size of the token is looked at before anything is sent.
/// 2. The audience check comes first. UserInfo is not asked about a token that was not issued for us.
/// 3. Both must speak of the same subject.
///
/// Two calls to the provider each time: put a [`CacheLayer`](crate::CacheLayer) around it.
///
/// ```
/// use std::sync::Arc;
///
/// use http::Uri;
/// use portcullis_core::{Clock, Issuer, SystemClock};
/// use portcullis_egress::{Egress, EgressConfig};
/// use portcullis_oauth::{ClientAuthentication, user_info::UserInfoFormat};
/// use portcullis_verify::{AudienceCheck, TokenCheck, UserInfoEndpoint, UserInfoVerifier};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let github = Issuer::new("https://github.com")?;
/// let (egress, clock) = (Egress::new(EgressConfig::new())?, Arc::new(SystemClock::new()));
/// let users = UserInfoEndpoint::new(github.clone(), egress.clone(), clock.clone())
///     .with_url(Uri::from_static("https://api.github.com/user"))
///     .with_format(UserInfoFormat::GitHub);
///
/// let app = ClientAuthentication::basic("Iv1.0123456789abcdef", "secret from a file".into());
/// let check = Uri::from_static("https://api.github.com/applications/Iv1.0123456789abcdef/token");
/// let audience = AudienceCheck::token_check(TokenCheck::new(github, check, app.clone(), egress.clone(), clock.clone()));
/// assert!(UserInfoVerifier::new(users.clone(), audience).is_ok());
///
/// let elsewhere = Issuer::new("https://github.example.com")?;
/// let check = Uri::from_static("https://github.example.com/api/v3/applications/Iv1.0123456789abcdef/token");
/// let audience = AudienceCheck::token_check(TokenCheck::new(elsewhere, check, app, egress, clock));
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
    /// The users of `endpoint` whose tokens pass `audience`.
    ///
    /// # Errors
    /// [`ConfigError::DifferentIssuers`] if the two are of different issuers.
    pub fn new(endpoint: UserInfoEndpoint, audience: AudienceCheck) -> Result<Self, ConfigError> {
        match audience.issuer() {
            Some(issuer) if issuer != endpoint.issuer() => Err(ConfigError::DifferentIssuers {
                user_info: endpoint.issuer().clone(),
                audience_check: issuer.clone(),
            }),
            _ => Ok(Self { endpoint, audience, max_len: DEFAULT_MAX_LEN }),
        }
    }

    /// The longest token that is sent, in bytes. Default: 16 KiB.
    #[must_use]
    pub const fn with_max_len(mut self, max_len: usize) -> Self {
        self.max_len = max_len;
        self
    }

    async fn verify(&self, token: &BearerToken) -> Result<Arc<UserContext>, AuthError> {
        if token.len() > self.max_len {
            return Err(AuthError::new(Reason::TokenTooLarge));
        }
        let evidence = self.audience.check(token).await?;
        let user_info = self.endpoint.fetch(token).await?;
        let user = match evidence {
            Some(claims) => {
                let sub = claims.as_ref().claim("sub").cloned();
                let user = claims.into_user_context()?;
                self.endpoint.check_subject(&user_info, user.subject(), sub.as_ref())?;
                user
            }
            None => UserContext::builder(self.endpoint.issuer().clone(), self.endpoint.subject(&user_info)?),
        };
        Ok(Arc::new(user.with_profile(user_info.into_members()).build()))
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
