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

use super::{
    UpstreamLayer,
    outage::{Outage, TokenWasRefused},
};

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
/// 5. Whatever else `P` answers is passed on; above all that nobody can tell at the moment. Unless
///    [an outage is bridged](crate::UpstreamLayer::with_outage_grace): then users go on by what is known of them.
/// 6. If `P` speaks for the issuer that `G` names, the subjects must be equal. If `G` names another issuer, such as this server
///    itself, who the user is rests on `G` alone, which is who says whose grant it is.
/// 7. The user stays who they are by `G`; the profile is that of `P`, or its claims if it has none. Roles and groups among the claims
///    of `P` are added to those of `G` ([which](crate::UpstreamLayer::with_claims)); nothing else is, because what is true of the
///    provider's token is not true of the token that came. It is
///    [asked for again](UserContext::with_revalidate_at) when the upstream token or what `P` knows of it expires.
/// 8. A user without a grant is refused with [`Reason::NoUpstream`], 503: `G` is not what it should be. Unless
///    [it may be](crate::UpstreamLayer::with_users_without_grant).
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
    pub(super) own: G,
    pub(super) provider: P,
    pub(super) claims: Arc<[Box<str>]>,
    pub(super) lets_pass: bool,
    pub(super) outage: Option<Outage>,
}

impl<G, P> UpstreamVerifier<G, P> {
    /// The users of `own`, as `provider` knows them.
    #[must_use]
    pub fn new(own: G, provider: P) -> Self {
        UpstreamLayer::new(provider).around(own)
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
        let (provider, claims, lets_pass) = (self.provider.clone(), Arc::clone(&self.claims), self.lets_pass);
        let outage = self.outage.clone();
        Box::pin(async move {
            let user = verification.await?;
            let resolution = resolve(provider, Arc::clone(&user), claims, lets_pass);
            match outage {
                Some(outage) => outage.bridged(user, resolution).await,
                None => resolution.await,
            }
        })
    }
}

/// `user` as `provider` knows it.
async fn resolve<P: VerifyToken>(
    provider: P,
    user: Arc<UserContext>,
    claims: Arc<[Box<str>]>,
    lets_pass: bool,
) -> Result<Arc<UserContext>, AuthError> {
    let (token, known) = match ask(provider, &user).await {
        Err(error) if lets_pass && error.reason() == Reason::NoUpstream => return Ok(user),
        answer => answer?,
    };
    if known.issuer() == user.issuer() && known.subject() != user.subject() {
        return Err(AuthError::new(Reason::SubjectMismatch));
    }
    let profile = if known.profile().is_empty() {
        members(known.claims(), |name| !OF_THE_TOKEN.contains(&name))
    } else {
        known.profile().clone()
    };
    let further = members(known.claims(), |name| claims.iter().any(|claim| **claim == *name));
    // A new context: the one inside was never given to anybody.
    let user = user.with_profile(profile).with_extra_claims(further);
    let ends = token.expires_at().into_iter().chain(known.revalidate_at());
    Ok(Arc::new(ends.fold(user, UserContext::with_revalidate_at)))
}

/// The claims that are taken over: what its issuer says of the user. A list of what is *not* taken would let in whatever nobody has
/// thought of; among the claims of our token it would be read as a right.
/// [RFC 9068 section 2.2.3.1](https://www.rfc-editor.org/rfc/rfc9068#section-2.2.3.1), and Keycloak's two.
pub(super) const OF_THE_USER: [&str; 5] = ["roles", "groups", "entitlements", "realm_access", "resource_access"];

/// Members that are about a token, and no profile: where the claims have to do for one.
/// RFC 7519, RFC 7662, RFC 8693, RFC 9068, RFC 9396, OpenID Connect.
const OF_THE_TOKEN: [&str; 27] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "scope",
    "scp",
    "permissions",
    "authorization_details",
    "client_id",
    "azp",
    "active",
    "token_type",
    "typ",
    "cnf",
    "act",
    "may_act",
    "sid",
    "session_state",
    "nonce",
    "acr",
    "amr",
    "auth_time",
    "at_hash",
    "allowed-origins",
];

fn members(claims: &Map<String, Value>, wanted: impl Fn(&str) -> bool) -> Map<String, Value> {
    let wanted = claims.iter().filter(|(name, _)| wanted(name));
    wanted.map(|(name, value)| (name.clone(), value.clone())).collect()
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
            return Err(TokenWasRefused::marks(AuthError::new(Reason::VerifierFailed).with_source(refusal)));
        }
        answer => return answer.map(|known| (token, known)),
    }
    let token = user.upstream().rejected(&token).await.map_err(|error| match error.kind() {
        AuthErrorKind::Unavailable => TokenWasRefused::marks(error),
        _ => error,
    })?;
    match provider.ready().await?.call(token.token().clone()).await {
        Err(refusal) if refusal.kind() == AuthErrorKind::InvalidToken => {
            tracing::error!(reason = %refusal.reason(), "the provider refuses a token that it has just issued");
            Err(AuthError::new(Reason::FreshTokenRefused).with_source(refusal))
        }
        answer => answer.map(|known| (token, known)),
    }
}
