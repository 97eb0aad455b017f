//! [`JwtVerifier`]: the tower service from a JWT to its user.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use portcullis_core::{AuthError, BearerToken, Clock, UserContext};
use portcullis_oauth::jwt::{JwtPolicy, SignedJwt, UnverifiedJwt};
use tower_service::Service;

use super::{JwtFuture, KeySource};
use portcullis_remote::Verification;

/// Verifies the JWTs of one issuer: a [`VerifyToken`](portcullis_core::VerifyToken).
///
/// What is accepted is for the [`JwtPolicy`] to say; the keys are [fetched](crate::RemoteKeySet) or
/// [fixed](portcullis_oauth::jwt::KeySet). When the key is at hand the token is verified in one poll, without a box or a
/// task. It does **not** ask anybody whether the token was revoked, and remembers nothing: put a
/// [`CacheLayer`](crate::CacheLayer) around it.
///
/// ```
/// # async fn example(egress: portcullis_egress::Egress) -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
///
/// use portcullis_core::{BearerToken, Issuer, Reason, ResourceUri, SystemClock};
/// use portcullis_oauth::jwt::JwtPolicy;
/// use portcullis_verify::{JwtVerifier, RemoteKeySet};
/// use tower::ServiceExt;
///
/// let issuer = Issuer::new("https://idp.example.com")?;
/// let policy = JwtPolicy::new(issuer.clone(), ResourceUri::new("https://mcp.example.com/mcp")?);
/// let keys = RemoteKeySet::discovered(issuer, egress);
/// let verifier = JwtVerifier::new(policy, keys, Arc::new(SystemClock::new()));
///
/// let refused = verifier.oneshot(BearerToken::new("not-a-jwt")?).await.unwrap_err();
/// assert_eq!(refused.reason(), Reason::MalformedToken);
/// # Ok(())
/// # }
/// # let egress = portcullis_egress::Egress::new(portcullis_egress::EgressConfig::new()).unwrap();
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(example(egress)).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct JwtVerifier(Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    policy: JwtPolicy,
    keys: KeySource,
    clock: Arc<dyn Clock>,
}

impl JwtVerifier {
    /// Accepts what `policy` accepts if it is signed by one of `keys`, which are those of the policy's issuer.
    #[must_use]
    pub fn new(policy: JwtPolicy, keys: impl Into<KeySource>, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Inner { policy, keys: keys.into(), clock }))
    }
}

impl Inner {
    /// Everything that can be done at once.
    pub(super) fn begin(&self, token: &BearerToken) -> Result<Verification, AuthError> {
        let jwt = UnverifiedJwt::parse(token, self.policy.max_len())?;
        Ok(self.keys.verify(self.policy.check_header(jwt)?))
    }

    /// What remains when the signature is known to fit.
    pub(super) fn finish(&self, jwt: SignedJwt) -> Result<Arc<UserContext>, AuthError> {
        let claims = self.policy.check(jwt, self.clock.now())?;
        Ok(Arc::new(claims.into_user_context()?.build()))
    }
}

impl Service<BearerToken> for JwtVerifier {
    type Response = Arc<UserContext>;
    type Error = AuthError;
    type Future = JwtFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), AuthError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, token: BearerToken) -> JwtFuture {
        JwtFuture::new(Arc::clone(&self.0), token)
    }
}
