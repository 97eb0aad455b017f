//! [`JwtVerifier`]: verifies JWTs by the keys of their issuer.

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use portcullis_core::{AuthError, BearerToken, Clock, Reason, SystemClock, UserContext};
use portcullis_oauth::jwt::{HeaderCheckedJwt, JwtPolicy, KeySet, SignedJwt, UnverifiedJwt};
use portcullis_remote::{RemoteKeySet, Verification};
use tower_service::Service;

/// Verifies the JWTs of one issuer: a [`VerifyToken`](portcullis_core::VerifyToken).
///
/// The [`JwtPolicy`] decides what is accepted; the keys are [fetched](crate::RemoteKeySet) or
/// [fixed](portcullis_oauth::jwt::KeySet). If the key is present the token is verified in one poll, without a box or a
/// task. It does **not** check whether the token was revoked, and caches nothing: put a
/// [`CacheLayer`](crate::CacheLayer) around it.
///
/// ```
/// # async fn example(egress: portcullis_egress::Egress) -> Result<(), Box<dyn std::error::Error>> {
/// use portcullis_core::{BearerToken, Issuer, Reason, ResourceUri};
/// use portcullis_oauth::jwt::JwtPolicy;
/// use portcullis_verify::{JwtVerifier, RemoteKeySet};
/// use tower::ServiceExt;
///
/// let issuer = Issuer::new("https://idp.example.com")?;
/// let policy = JwtPolicy::new(issuer.clone(), ResourceUri::new("https://mcp.example.com/mcp")?);
/// let keys = RemoteKeySet::discovered(issuer, egress);
/// let verifier = JwtVerifier::new(policy, keys);
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

#[derive(Clone, Debug)]
struct Inner {
    policy: JwtPolicy,
    keys: KeySource,
    clock: Arc<dyn Clock>,
}

/// The source of the keys of a [`JwtVerifier`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum KeySource {
    /// Keys from the configuration, which do not change.
    Fixed(KeySet),
    /// Keys that the issuer publishes.
    Remote(RemoteKeySet),
}

impl JwtVerifier {
    /// Creates a verifier that accepts tokens by `policy` if they are signed by one of `keys`, which are those of the policy's issuer.
    #[must_use]
    pub fn new(policy: JwtPolicy, keys: impl Into<KeySource>) -> Self {
        Self(Arc::new(Inner { policy, keys: keys.into(), clock: Arc::new(SystemClock::new()) }))
    }

    /// Sets the clock for the lifetimes of tokens. Default: [`SystemClock`].
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Inner { clock, ..Arc::unwrap_or_clone(self.0) }))
    }
}

impl Inner {
    /// Does all that needs no fetch.
    fn begin(&self, token: &BearerToken) -> Result<Verification, AuthError> {
        let jwt = UnverifiedJwt::parse(token, self.policy.max_len())?;
        Ok(self.keys.verify(self.policy.check_header(jwt)?))
    }

    /// Checks the claims of a token whose signature is verified.
    fn finish(&self, jwt: SignedJwt) -> Result<Arc<UserContext>, AuthError> {
        let claims = self.policy.check(jwt, self.clock.now())?;
        Ok(Arc::new(claims.into_user_context()?.build()))
    }
}

impl KeySource {
    fn verify(&self, jwt: HeaderCheckedJwt) -> Verification {
        match self {
            Self::Remote(keys) => keys.verify(jwt),
            Self::Fixed(keys) => Verification::Done(match keys.select(&jwt) {
                Some(key) => jwt.verify(key),
                None => Err(AuthError::new(Reason::UnknownKey)),
            }),
        }
    }
}

impl From<KeySet> for KeySource {
    fn from(keys: KeySet) -> Self {
        Self::Fixed(keys)
    }
}

impl From<RemoteKeySet> for KeySource {
    fn from(keys: RemoteKeySet) -> Self {
        Self::Remote(keys)
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
        JwtFuture(State::Begin(Arc::clone(&self.0), token))
    }
}

/// Future for [`JwtVerifier`]. It does nothing before it is polled.
#[must_use = "futures do nothing unless polled"]
pub struct JwtFuture(State);

enum State {
    /// `Begin → End`, or `Begin → Wait` if a key must be fetched.
    Begin(Arc<Inner>, BearerToken),
    /// `Wait → End`. Boxed: it costs a network round trip anyway.
    Wait(Arc<Inner>, BoxFuture<'static, Result<SignedJwt, AuthError>>),
    /// The outcome has been returned.
    End,
}

impl Future for JwtFuture {
    type Output = Result<Arc<UserContext>, AuthError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match mem::replace(&mut self.0, State::End) {
                State::Begin(verifier, token) => match verifier.begin(&token)? {
                    Verification::Done(signed) => return Poll::Ready(verifier.finish(signed?)),
                    Verification::Pending(signed) => self.0 = State::Wait(verifier, signed),
                },
                State::Wait(verifier, mut signed) => {
                    if let Poll::Ready(signed) = signed.as_mut().poll(cx) {
                        return Poll::Ready(verifier.finish(signed?));
                    }
                    self.0 = State::Wait(verifier, signed);
                    return Poll::Pending;
                }
                State::End => return Poll::Ready(Err(AuthError::new(Reason::VerifierFailed))),
            }
        }
    }
}

impl fmt::Debug for JwtFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtFuture").finish_non_exhaustive()
    }
}
