//! [`ProviderClient`]: this server as an OAuth client of a provider; [`ProfileVerifier`].

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use portcullis_core::{AccessToken, AuthError, BearerToken, Clock, Fingerprint, SystemClock, UnixTime, UserContext};
use portcullis_egress::{Egress, RequestKind};
use portcullis_oauth::{
    ClientAuthentication,
    id_token::{IdToken, IdTokenPolicy},
    providers::{Profile, Provider},
    revocation::RevokedTokens,
};
use portcullis_refresh::TokenSet;
use portcullis_remote::{EndpointClient, RemoteKeySet, UserInfoEndpoint};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::Instant;
use tower_service::Service;

/// An OAuth client of a provider: logins, refreshes, profiles and revocation. Clones share their state.
///
/// 1. It is a [`TokenRefresh`](portcullis_refresh::TokenRefresh), for a [`Refresher`](portcullis_refresh::Refresher): its errors say what became of the refresh token
///    ([`RefreshErrorKind`](portcullis_refresh::RefreshErrorKind)).
/// 2. A provider that fails gets one call per back-off window, for each kind of request: codes, refresh tokens, introspection,
///    revocation, profiles. A code or token that makes it fail is paused by itself: see
///    [`CircuitBreaker`](portcullis_egress::CircuitBreaker). If the provider rejects this server's client ID or secret, no request presents
///    them for 5 s, or for as long as the provider says.
/// 3. The lifetime of an access token is what the response says, else the token itself, else introspection, else the
///    [default](Provider::with_default_lifetime) of the provider, else unknown.
/// 4. A refresh that is rejected with an error that neither the standard nor the vendor defines is
///    [unexplained](portcullis_refresh::RefreshErrorKind::Unexplained): alone it ends no grant. A refresh that is rejected without an error code ends the
///    grant if introspection says that the refresh token is not active.
///
/// It stores no tokens. It does **not** request scopes on its own.
///
/// ```
/// use std::sync::Arc;
///
/// use portcullis_egress::{Egress, EgressConfig};
/// use portcullis_refresh::{GrantStore, Refresher, RefresherConfig};
/// use portcullis_store::{KeyRing, MemoryStore};
/// use portcullis_upstream::ProviderClient;
/// use portcullis_oauth::{ClientAuthentication, providers::Provider};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let app = ClientAuthentication::basic("Iv1.0123456789abcdef", "secret from a file".into());
/// let github = ProviderClient::new(Provider::github(), app, Egress::new(EgressConfig::new())?);
///
/// let grants = GrantStore::new(Arc::new(MemoryStore::new()), KeyRing::ephemeral())?;
/// let config = RefresherConfig::for_provider(github.provider());
/// let refresher = Refresher::new(grants, github, config);
/// # drop(refresher);
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct ProviderClient(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    provider: Arc<Provider>,
    client: ClientAuthentication,
    egress: Egress,
    clock: Arc<dyn Clock>,
    codes: EndpointClient,
    refresh_tokens: EndpointClient,
    /// When the token endpoint last accepted the credentials of this server, in this process.
    accepted_at: Mutex<Option<Instant>>,
    introspection: EndpointClient,
    revocation: EndpointClient,
    profiles: UserInfoEndpoint,
    id_tokens: Option<IdTokenVerifier>,
}

impl ProviderClient {
    /// Creates a client of `provider` that authenticates itself as `client`.
    #[must_use]
    pub fn new(provider: Provider, client: ClientAuthentication, egress: Egress) -> Self {
        Self::build(Arc::new(provider), client, egress, Arc::new(SystemClock::new()))
    }

    /// Sets the clock for the lifetimes of tokens and for `Retry-After`. Default: [`SystemClock`]. The result shares no state with
    /// earlier clones.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        let Inner { provider, client, egress, .. } = &*self.0;
        Self::build(Arc::clone(provider), client.clone(), egress.clone(), clock)
    }

    fn build(provider: Arc<Provider>, client: ClientAuthentication, egress: Egress, clock: Arc<dyn Clock>) -> Self {
        let endpoint = |name| {
            EndpointClient::new(egress.clone(), RequestKind::new(name))
                .with_clock(Arc::clone(&clock))
                .with_provider(Arc::clone(&provider))
        };
        // Two circuit breakers: refresh tokens that fail do not stop logins, and codes that fail do not stop refreshes.
        let codes = endpoint("token").with_unclear_refusal_pause(Duration::ZERO);
        Self(Arc::new(Inner {
            refresh_tokens: codes.sibling(Arc::clone(&clock)),
            codes,
            accepted_at: Mutex::default(),
            introspection: endpoint("introspection"),
            revocation: endpoint("revocation"),
            id_tokens: IdTokenVerifier::of(&provider, client.client_id(), &egress),
            profiles: UserInfoEndpoint::of_provider(Arc::clone(&provider), egress.clone())
                .for_own_tokens()
                .with_clock(Arc::clone(&clock)),
            provider,
            client,
            egress,
            clock,
        }))
    }

    /// Returns the provider.
    #[must_use]
    pub fn provider(&self) -> &Provider {
        &self.0.provider
    }

    /// Requests the profile of the user of `token`.
    ///
    /// # Errors
    /// `InvalidToken` if the provider rejects the token, else `Unavailable`.
    pub async fn profile(&self, token: &AccessToken) -> Result<Profile, AuthError> {
        self.0.profiles.profile(token.token()).await
    }

    /// Returns a verifier of access tokens that this client obtained itself, for an [`UpstreamVerifier`](crate::UpstreamVerifier). It
    /// identifies the user by the profile.
    ///
    /// It does **not** check for whom a token was issued, so it must not verify tokens that come with requests.
    #[must_use]
    pub fn profile_verifier(&self) -> ProfileVerifier {
        ProfileVerifier(self.0.profiles.clone())
    }

    /// Ends the grant behind `tokens` at the provider, or returns `false` if the provider (Atlassian) cannot do that. A grant that has ended
    /// before is no error.
    ///
    /// GitHub deletes the access token alone. The user's authorization of the app remains, because all other sessions of the user depend on
    /// it; GitHub does not document what becomes of the refresh token.
    ///
    /// # Errors
    /// `Unavailable` if the provider does not confirm it: the tokens may still be valid.
    pub async fn revoke(&self, tokens: &TokenSet) -> Result<bool, AuthError> {
        let revoked = RevokedTokens::new(tokens.access_token().token(), tokens.refresh_token());
        let Some(request) = self.provider().revocation_request(self.client(), revoked) else { return Ok(false) };
        let credential = revoked.access_token.fingerprint();
        self.0.revocation.send(credential, request, |response| self.provider().process_revocation(response)).await?;
        Ok(true)
    }

    /// Returns the client ID of this server at the provider.
    #[must_use]
    pub fn client_id(&self) -> &str {
        self.client().client_id()
    }

    pub(crate) fn client(&self) -> &ClientAuthentication {
        &self.0.client
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.0.clock
    }

    pub(crate) fn now(&self) -> UnixTime {
        self.0.clock.now()
    }

    pub(crate) fn id_tokens(&self) -> Option<&IdTokenVerifier> {
        self.0.id_tokens.as_ref()
    }

    /// Returns the endpoint client for codes.
    pub(crate) fn codes(&self) -> &EndpointClient {
        &self.0.codes
    }

    /// Returns the endpoint client for refresh tokens.
    pub(crate) fn refresh_tokens(&self) -> &EndpointClient {
        &self.0.refresh_tokens
    }

    /// Records that the token endpoint has just accepted the credentials of this server.
    pub(crate) fn note_accepted(&self) {
        *self.0.accepted_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Returns when the token endpoint last accepted the credentials of this server.
    pub(crate) fn last_accepted(&self) -> Option<Instant> {
        *self.0.accepted_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn introspection(&self) -> &EndpointClient {
        &self.0.introspection
    }
}

/// Returns the hash of a code or refresh token, by which a credential that makes the provider fail is paused.
pub(crate) fn fingerprint(presented: &SecretString) -> Fingerprint {
    Fingerprint::of_credential(presented.expose_secret())
}

/// A verifier of a provider's tokens that identifies the user by the provider's profile.
///
/// It does **not** check the audience: the provider returns the same profile for any token of the user, issued to any client. It is
/// for tokens that this server obtained itself, inside an [`UpstreamVerifier`](crate::UpstreamVerifier); [`UserInfoEndpoint`] has the rules.
///
/// The claims are those of the token itself, if it has more than the profile: Keycloak's roles.
#[derive(Clone, Debug)]
pub struct ProfileVerifier(UserInfoEndpoint);

impl Service<BearerToken> for ProfileVerifier {
    type Response = Arc<UserContext>;
    type Error = AuthError;
    type Future = Pin<Box<dyn Future<Output = Result<Arc<UserContext>, AuthError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), AuthError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, token: BearerToken) -> Self::Future {
        let Self(profiles) = self.clone();
        Box::pin(async move {
            let profile = profiles.profile(&token).await?;
            Ok(Arc::new(profile.into_user_context(profiles.issuer().clone()).build()))
        })
    }
}

/// A verifier of one provider's ID tokens for this client.
#[derive(Debug)]
pub(crate) struct IdTokenVerifier {
    policy: IdTokenPolicy,
    keys: RemoteKeySet,
}

impl IdTokenVerifier {
    /// Creates a verifier for ID tokens of `provider` for the client `client_id`; `None` if it issues none.
    pub(crate) fn of(provider: &Provider, client_id: &str, egress: &Egress) -> Option<Self> {
        let policy = provider.id_token_policy(client_id)?;
        let keys = match provider.jwks_uri() {
            Some(jwks_uri) => RemoteKeySet::at(jwks_uri.clone(), egress.clone()),
            None => RemoteKeySet::discovered(provider.issuer().clone(), egress.clone()),
        };
        Some(Self { policy, keys })
    }

    /// Verifies an ID token of the same response as `access_token`, for the login with `nonce`.
    pub(crate) async fn verify(
        &self,
        id_token: &SecretString,
        nonce: &str,
        access_token: &BearerToken,
        clock: &dyn Clock,
    ) -> Result<IdToken, AuthError> {
        let signed = self.keys.verified(self.policy.check_header(id_token)?).await?;
        self.policy.check(signed, nonce, access_token, clock.now())
    }
}
