//! [`UpstreamVerifier`]: verifies this server's token, and then the upstream token of its user, in one resolution.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use portcullis_core::{
    AccessToken, AuthError, AuthErrorKind, BearerToken, Clock, Reason, SystemClock, UserContext, VerifyToken,
};
use portcullis_oauth::{describes_login, describes_token};
use serde_json::{Map, Value};
use tower::ServiceExt as _;
use tower_layer::Layer;
use tower_service::Service;

use crate::outage::{Outage, TokenWasRefused};

/// The claims of the upstream token that are taken over by default: rights that the provider assigns to the user. It is a list of accepted
/// claims, because any other claim would be read as a right that this server grants.
/// [RFC 9068 section 2.2.3.1](https://www.rfc-editor.org/rfc/rfc9068#section-2.2.3.1), and Keycloak's two.
const USER_CLAIMS: [&str; 5] = ["roles", "groups", "entitlements", "realm_access", "resource_access"];

/// The reasons for which an upstream token may be rejected although it was valid before: a refresh may help.
const DEAD: [Reason; 4] = [Reason::Inactive, Reason::Expired, Reason::Revoked, Reason::UnknownKey];

/// A layer that verifies the upstream tokens of the users of another verifier; see [`UpstreamVerifier`].
#[derive(Clone, Debug)]
pub struct UpstreamLayer<P> {
    provider: P,
    claims: Arc<[Box<str>]>,
    without_grant: WithoutGrant,
    profiles: Profiles,
    outage: Option<Outage>,
    clock: Arc<dyn Clock>,
}

/// Where the profile of a user is from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Profiles {
    /// The verifier of upstream tokens.
    OfProvider,
    /// The verifier of this server's tokens.
    OfLogin,
}

/// What happens to a user without a grant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum WithoutGrant {
    Reject,
    Accept,
}

impl<P> UpstreamLayer<P> {
    /// Creates a layer with the verifier of upstream tokens `provider`.
    #[must_use]
    pub fn new(provider: P) -> Self {
        let claims = USER_CLAIMS.map(Box::from).into();
        Self {
            provider,
            claims,
            without_grant: WithoutGrant::Reject,
            profiles: Profiles::OfProvider,
            outage: None,
            clock: Arc::new(SystemClock::new()),
        }
    }

    /// Sets the claims of the upstream token that are added to the user, where this server's token does not have them. Default: `roles`,
    /// `groups`, `entitlements`, `realm_access`, `resource_access`.
    ///
    /// They are read as rights that *this* server grants: never name a claim about the token, such as `scope`.
    #[must_use]
    pub fn with_claims<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.claims = names.into_iter().map(Box::from).collect();
        self
    }

    /// Accepts users without a grant, as the inner verifier describes them: for users who never logged in at the provider, such as those whom
    /// an enterprise's identity provider vouches for. Default: they are rejected.
    ///
    /// A user whose grant has ended is rejected in any case.
    #[must_use]
    pub const fn with_users_without_grant(mut self) -> Self {
        self.without_grant = WithoutGrant::Accept;
        self
    }

    /// Keeps the profile of the login: the upstream token is refreshed, and not presented to the verifier of upstream tokens. It is for
    /// providers whose profile is in the [ID token or the token response](portcullis_oauth::providers::ProfileSource) of the login. A user who
    /// withdraws the grant is then rejected from the next refresh on.
    #[must_use]
    pub const fn with_profiles_of_login(mut self) -> Self {
        self.profiles = Profiles::OfLogin;
        self
    }

    /// Accepts users while the provider is unavailable, for `grace` after it last confirmed them: with the provider's last response in this
    /// process, or else as the inner verifier describes them ([`confirmed_at`](UserContext::confirmed_at)). Responses are kept by
    /// [grant](portcullis_core::Upstream::grant), so that they apply to every token of the same session. Default, and zero: users are
    /// rejected with 503.
    ///
    /// It applies to outages only: no response, one that cannot be understood, 429, 5xx. It does **not** apply to a grant that has ended, a
    /// token that the provider rejects, or a provider that rejects this server. The provider is asked again after 5 s.
    #[must_use]
    pub fn with_outage_grace(mut self, grace: Duration) -> Self {
        self.outage = (!grace.is_zero()).then(|| Outage::new(grace, Arc::clone(&self.clock)));
        self
    }

    /// Sets the clock for [`with_outage_grace`](Self::with_outage_grace). Default: [`SystemClock`].
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.outage = self.outage.map(|outage| Outage::new(outage.grace(), Arc::clone(&clock)));
        self.clock = clock;
        self
    }
}

impl<G, P: Clone> Layer<G> for UpstreamLayer<P> {
    type Service = UpstreamVerifier<G, P>;

    fn layer(&self, verifier: G) -> UpstreamVerifier<G, P> {
        UpstreamVerifier { own: verifier, upstream: self.clone() }
    }
}

/// A verifier for users with a grant: it verifies the upstream token as well, and refreshes it if necessary.
///
/// `G` verifies the token of the request, and its users have an [upstream](UserContext::upstream). `P` verifies the provider's tokens: a
/// JWT verifier, introspection, UserInfo, or another one.
///
/// 1. `G` decides first. The provider is not called for a token that it rejects.
/// 2. The upstream token is fresh before `P` sees it: one with a known expiry in the past costs no call.
/// 3. If `P` rejects it all the same as dead (inactive, expired, revoked, or signed with an unknown key), it is
///    [reported](portcullis_core::Upstream::rejected), and `P` verifies the new one. If `P` rejects a token for a property that no refresh
///    changes, such as its audience, `P` is configured wrongly: 503, and an error in the log.
/// 4. If `P` rejects the new token as well, neither a refresh nor a login helps: [`Reason::FreshTokenRefused`], 503, and an error in the log.
/// 5. Every other error of `P` is returned, in particular `Unavailable`; during an outage, users may be accepted by
///    [`with_outage_grace`](UpstreamLayer::with_outage_grace).
/// 6. If `G` and `P` have the same issuer, the subjects must be equal. If `G` has another issuer, such as this server itself, `G` alone
///    identifies the user, because it says whose grant it is.
/// 7. The identity remains that of `G`. The profile is that of `P`, or its claims about the user if it has none. Roles and groups among the
///    claims of `P` are added to those of `G` ([the list](UpstreamLayer::with_claims)); no other claim is, because what is true of the upstream
///    token is not true of the token of the request. The context must be
///    [revalidated](UserContext::with_revalidate_at) when the upstream token or the result of `P` expires.
/// 8. A user without a grant is rejected with [`Reason::NoUpstream`], 503, because `G` is configured wrongly; unless such users are
///    [expected](UpstreamLayer::with_users_without_grant).
///
/// All of this is one call of the service, so that a cache *around* it shares one resolution among all waiting requests. Do not put a cache
/// *inside*: invalidating the outer cache would not invalidate it.
///
/// ```
/// # use portcullis_core::VerifyToken;
/// use portcullis_upstream::UpstreamLayer;
/// use tower_layer::Layer as _;
///
/// /// `own` verifies this server's tokens, `provider` those of the provider.
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
    upstream: UpstreamLayer<P>,
}

impl<G, P> UpstreamVerifier<G, P> {
    /// Creates a verifier of the users of `own`, whose upstream tokens `provider` verifies.
    #[must_use]
    pub fn new(own: G, provider: P) -> Self {
        Self { own, upstream: UpstreamLayer::new(provider) }
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
        let UpstreamLayer { provider, claims, without_grant, profiles, outage, .. } = self.upstream.clone();
        Box::pin(async move {
            let user = verification.await?;
            let resolution = resolve(provider, Arc::clone(&user), claims, without_grant, profiles);
            match outage {
                Some(outage) => outage.bridged(user, resolution).await,
                None => resolution.await,
            }
        })
    }
}

/// Returns `user` with the profile and the claims that `provider` has.
async fn resolve<P: VerifyToken>(
    provider: P,
    user: Arc<UserContext>,
    claims: Arc<[Box<str>]>,
    without_grant: WithoutGrant,
    profiles: Profiles,
) -> Result<Arc<UserContext>, AuthError> {
    let answer = match profiles {
        Profiles::OfProvider => verify_upstream(provider, &user).await,
        Profiles::OfLogin => user.upstream().access_token().await.map(|token| (token, None)),
    };
    let (token, known) = match answer {
        Err(error) if without_grant == WithoutGrant::Accept && error.reason() == Reason::NoUpstream => return Ok(user),
        answer => answer?,
    };
    let Some(known) = known else {
        let expiry = token.expires_at().into_iter();
        return Ok(Arc::new(expiry.fold(user.with_profile(user.profile().clone()), UserContext::with_revalidate_at)));
    };
    if known.issuer() == user.issuer() && known.subject() != user.subject() {
        return Err(AuthError::new(Reason::SubjectMismatch));
    }
    let profile = if known.profile().is_empty() {
        members(known.claims(), |name| !describes_token(name) && !describes_login(name))
    } else {
        known.profile().clone()
    };
    let extra = members(known.claims(), |name| claims.iter().any(|claim| **claim == *name));
    // A new context, because contexts are shared.
    let user = user.with_profile(profile).with_extra_claims(extra);
    let ends = token.expires_at().into_iter().chain(known.revalidate_at());
    Ok(Arc::new(ends.fold(user, UserContext::with_revalidate_at)))
}

fn members(claims: &Map<String, Value>, is_wanted: impl Fn(&str) -> bool) -> Map<String, Value> {
    let wanted = claims.iter().filter(|(name, _)| is_wanted(name));
    wanted.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Verifies the upstream token of `user`; if it is dead, the token after a refresh.
async fn verify_upstream<P: VerifyToken>(
    mut provider: P,
    user: &UserContext,
) -> Result<(AccessToken, Option<Arc<UserContext>>), AuthError> {
    let token = user.upstream().access_token().await?;
    match provider.ready().await?.call(token.token().clone()).await {
        Err(refusal) if DEAD.contains(&refusal.reason()) => {}
        Err(refusal) if refusal.kind() == AuthErrorKind::InvalidToken => {
            tracing::error!(reason = %refusal.reason(), "the verifier of upstream tokens rejects a token of the provider: check its configuration");
            return Err(TokenWasRefused::marks(AuthError::new(Reason::VerifierFailed).with_source(refusal)));
        }
        answer => return answer.map(|known| (token, Some(known))),
    }
    let token = user.upstream().rejected(&token).await.map_err(|error| match error.kind() {
        AuthErrorKind::Unavailable => TokenWasRefused::marks(error),
        _ => error,
    })?;
    match provider.ready().await?.call(token.token().clone()).await {
        Err(refusal) if refusal.kind() == AuthErrorKind::InvalidToken => {
            tracing::error!(reason = %refusal.reason(), "the provider rejects an access token that it has just issued");
            Err(AuthError::new(Reason::FreshTokenRefused).with_source(refusal))
        }
        answer => answer.map(|known| (token, Some(known))),
    }
}
