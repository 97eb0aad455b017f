//! [`UpstreamVerifier`]: our own token, then the provider's, in one resolution.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use portcullis_core::{AccessToken, AuthError, AuthErrorKind, BearerToken, Reason, UserContext, VerifyToken};
use serde_json::{Map, Value};
use tower::ServiceExt as _;
use tower_service::Service;

/// A verifier for users behind whom stands a grant: it asks the provider who they are, and refreshes the provider's token if
/// that is what it takes.
///
/// `G` verifies the token that came with the request, and its users have an [upstream](UserContext::upstream). `P` verifies the
/// provider's tokens: a JWT verifier, introspection, UserInfo, or your own.
///
/// 1. `G` decides first. The provider is not asked about a token that it refuses.
/// 2. The upstream token is fresh before `P` sees it: one that is known to have expired costs no call.
/// 3. If `P` finds it dead all the same (inactive, expired, revoked, or signed with a key that is gone), it is
///    [reported](portcullis_core::Upstream::rejected), and `P` is asked about the new one. A token that `P` refuses for what it *is*,
///    such as its audience, no refresh will mend: that is a mistake in how `P` is put together, 503 and an error in the log.
/// 4. If `P` refuses that as well, no refresh and no login will help: [`Reason::FreshTokenRefused`], 503, and an error in the log.
/// 5. Whatever else `P` answers is passed on; above all that nobody can tell at the moment.
/// 6. If `P` speaks for the issuer that `G` names, the subjects must be equal. If `G` names another issuer, such as this server
///    itself, who the user is rests on `G` alone, which is who says whose grant it is.
/// 7. The user stays who they are by `G`; the profile is that of `P`, or its claims if it has none. What the claims of `P` say of
///    the *user*, such as roles and groups, is added to those of `G`; what they say of the provider's token (`scope`, `aud` and
///    their like) is not, because it is not true of the token that came. It is
///    [asked for again](UserContext::until) when the upstream token or what `P` knows of it expires.
/// 8. A user without a grant is refused with [`Reason::NoUpstream`], 503: `G` is not what it should be.
///
/// All of that is one call of this service, so that a cache *around* it makes it one resolution however many wait. Do not put a
/// cache *inside*: what it withdraws would not be withdrawn here.
///
/// ```
/// # use portcullis_core::VerifyToken;
/// use portcullis_grants::UpstreamLayer;
/// use tower_layer::Layer as _;
///
/// /// `own` knows our tokens, `provider` those of the provider.
/// fn verifier<G, P>(own: G, provider: P) -> impl VerifyToken + Clone
/// where
///     G: VerifyToken<Future: Send + 'static> + Clone,
///     P: VerifyToken<Future: Send> + Clone + Send + 'static,
/// {
///     UpstreamLayer::new(provider).layer(own)
/// }
/// ```
#[derive(Clone, Debug)]
pub struct UpstreamVerifier<G, P> {
    own: G,
    provider: P,
}

impl<G, P> UpstreamVerifier<G, P> {
    /// The users of `own`, as `provider` knows them.
    #[must_use]
    pub const fn new(own: G, provider: P) -> Self {
        Self { own, provider }
    }
}

impl<G, P> Service<BearerToken> for UpstreamVerifier<G, P>
where
    G: VerifyToken<Future: Send + 'static>,
    P: VerifyToken<Future: Send> + Clone + Send + 'static,
{
    type Response = Arc<UserContext>;
    type Error = AuthError;
    type Future = Pin<Box<dyn Future<Output = Result<Arc<UserContext>, AuthError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), AuthError>> {
        self.own.poll_ready(cx)
    }

    fn call(&mut self, token: BearerToken) -> Self::Future {
        let verification = self.own.call(token);
        let provider = self.provider.clone();
        Box::pin(async move {
            let user = verification.await?;
            let (token, known) = ask(provider, &user).await?;
            if known.issuer() == user.issuer() && known.subject() != user.subject() {
                return Err(AuthError::new(Reason::SubjectMismatch));
            }
            let profile = if known.profile().is_empty() { known.claims() } else { known.profile() };
            // A new context: the one inside was never given to anybody.
            let user = user.with_profile(profile.clone()).with_further_claims(of_the_user(known.claims()));
            let ends = token.expires_at().into_iter().chain(known.known_until());
            Ok(Arc::new(ends.fold(user, UserContext::until)))
        })
    }
}

/// Claims about a token, and not about its user.
/// [RFC 7519 section 4.1](https://www.rfc-editor.org/rfc/rfc7519#section-4.1), RFC 7662, RFC 8693, RFC 9068, OpenID Connect.
const OF_THE_TOKEN: [&str; 19] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "scope",
    "scp",
    "client_id",
    "azp",
    "active",
    "token_type",
    "typ",
    "cnf",
    "act",
    "may_act",
    "sid",
    "nonce",
];

fn of_the_user(claims: &Map<String, Value>) -> impl Iterator<Item = (String, Value)> {
    let claims = claims.iter().filter(|(name, _)| !OF_THE_TOKEN.contains(&name.as_str()));
    claims.map(|(name, value)| (name.clone(), value.clone()))
}

/// Why a token may be refused that was good once: a refresh helps.
const DEAD: [Reason; 4] = [Reason::Inactive, Reason::Expired, Reason::Revoked, Reason::UnknownKey];

/// What the provider says of the upstream token of `user`, or of the next one.
async fn ask<P: VerifyToken>(
    mut provider: P,
    user: &UserContext,
) -> Result<(AccessToken, Arc<UserContext>), AuthError> {
    let token = user.upstream().access_token().await?;
    match provider.ready().await?.call(token.token().clone()).await {
        Err(refusal) if DEAD.contains(&refusal.reason()) => {}
        Err(refusal) if refusal.kind() == AuthErrorKind::InvalidToken => {
            tracing::error!(reason = %refusal.reason(), "the verifier of the provider's tokens does not take what the provider issues");
            return Err(AuthError::new(Reason::VerifierFailed).with_source(refusal));
        }
        answer => return answer.map(|known| (token, known)),
    }
    let token = user.upstream().rejected(&token).await?;
    match provider.ready().await?.call(token.token().clone()).await {
        Err(refusal) if refusal.kind() == AuthErrorKind::InvalidToken => {
            tracing::error!(reason = %refusal.reason(), "the provider refuses a token that it has just issued");
            Err(AuthError::new(Reason::FreshTokenRefused).with_source(refusal))
        }
        answer => answer.map(|known| (token, known)),
    }
}
