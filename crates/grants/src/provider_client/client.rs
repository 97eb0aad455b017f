//! [`ProviderClient`]: this server as a client of a provider.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use portcullis_core::{AccessToken, AuthError, Clock, Fingerprint, ScopeSet, UnixTime};
use portcullis_egress::{Egress, RequestKind};
use portcullis_oauth::{
    ClientAuthentication, CodeVerifier, ProtocolError,
    providers::{Profile, Provider},
    revocation::RevokedTokens,
};
use secrecy::SecretString;

use super::{ProfileVerifier, accepted::Accepted, failure::Failure, id_tokens::IdTokens, line::Line};
use crate::{RefreshError, TokenSet};

/// This server as a client of a provider. Clones are the same client.
///
/// 1. It is an [`TokenRefresh`](crate::TokenRefresh), for a [`Refresher`](crate::Refresher): what became of a refresh token is told apart as
///    [`RefreshErrorKind`](crate::RefreshErrorKind) wants it.
/// 2. A provider that fails gets one call per back-off window, for each kind of request: codes, refresh tokens, introspection,
///    revocation, profiles. A code or token that makes it fail is paused by itself: see [`CircuitBreaker`](portcullis_egress::CircuitBreaker).
///    A provider that refuses *our* id or secret is not asked with them again for 5 s, or as long as it says.
/// 3. The lifetime of an access token is what the response says, else the token itself, else introspection, else what the provider
///    is known for, else unknown.
/// 4. A refresh that is refused in words that no standard and no vendor knows is [unexplained](crate::RefreshErrorKind::Unexplained): by
///    itself it ends nothing. One that is refused without a word ends the grant if introspection says that the refresh token is not active.
///
/// It keeps no tokens, and never asks for more than it is told to.
///
/// ```
/// use std::sync::Arc;
///
/// use portcullis_core::SystemClock;
/// use portcullis_egress::{Egress, EgressConfig};
/// use portcullis_grants::{KeyRing, MemoryStore, ProviderClient, Refresher, RefresherConfig, GrantStore};
/// use portcullis_oauth::{ClientAuthentication, providers::Provider};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let clock = Arc::new(SystemClock::new());
/// let app = ClientAuthentication::basic("Iv1.0123456789abcdef", "secret from a file".into());
/// let github = ProviderClient::new(Provider::github(), app, Egress::new(EgressConfig::new())?, clock.clone());
///
/// let vault = GrantStore::new(Arc::new(MemoryStore::new(clock.clone())), KeyRing::ephemeral())?;
/// let config = RefresherConfig::for_provider(github.provider());
/// let refresher = Refresher::new(vault, github, config.with_clock(clock));
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
    clock: Arc<dyn Clock>,
    codes: Line,
    refresh_tokens: Line,
    accepted: Accepted,
    introspection: Line,
    revocation: Line,
    profiles: ProfileVerifier,
    id_tokens: Option<IdTokens>,
}

impl ProviderClient {
    /// This server as the client `client` of `provider`.
    #[must_use]
    pub fn new(provider: Provider, client: ClientAuthentication, egress: Egress, clock: Arc<dyn Clock>) -> Self {
        let line = |name| Line::new(egress.clone(), Arc::clone(&clock), RequestKind::new(name));
        let provider = Arc::new(provider);
        // Two circuit breakers: refresh tokens that fail do not stop logins, nor codes that fail refreshes.
        let codes = line("token").with_owned_credentials();
        Self(Arc::new(Inner {
            refresh_tokens: codes.beside(egress.clone(), Arc::clone(&clock)),
            codes,
            accepted: Accepted::default(),
            introspection: line("introspection"),
            revocation: line("revocation"),
            id_tokens: IdTokens::of(&provider, client.client_id(), &egress),
            profiles: ProfileVerifier::new(Arc::clone(&provider), egress, Arc::clone(&clock)),
            provider,
            client,
            clock,
        }))
    }

    /// The provider.
    #[must_use]
    pub fn provider(&self) -> &Provider {
        &self.0.provider
    }

    /// The tokens behind an authorization code, which came to `redirect_uri` after `asked` had been asked for: of a new grant.
    ///
    /// Look at the [scopes](TokenSet::scopes): a user may allow less than was asked for. The ID token is **not** looked at: this is for
    /// whoever knows who the user is. [`login`](Self::login) finds out.
    ///
    /// # Errors
    /// [`RefreshError`]. A code is good once: whatever the outcome, only a new login brings tokens, unless the request was not sent.
    pub async fn exchange_code(
        &self,
        code: &SecretString,
        redirect_uri: &str,
        verifier: &CodeVerifier,
        asked: &ScopeSet,
    ) -> Result<TokenSet, RefreshError> {
        let request = self.provider().code_request(self.client(), code, redirect_uri, verifier);
        let response = self.redeem(code, request).await?;
        Ok(TokenSet::from_login(self.with_lifetime(response).await, asked, self.now()))
    }

    /// Who the user of `token` is.
    ///
    /// # Errors
    /// `InvalidToken` if the provider refuses the token, else `Unavailable`.
    pub async fn profile(&self, token: &AccessToken) -> Result<Profile, AuthError> {
        self.0.profiles.profile(token.token()).await
    }

    /// A verifier of this provider's tokens, for an [`UpstreamVerifier`](crate::UpstreamVerifier).
    #[must_use]
    pub fn profile_verifier(&self) -> ProfileVerifier {
        self.0.profiles.clone()
    }

    /// Ends the grant behind `tokens` at the provider. `false` if it has no way to do that: Atlassian. No
    /// error if it had ended before.
    ///
    /// GitHub deletes the one access token. The user's authorization of the app stays, because without it all other sessions of the
    /// user end as well; what becomes of a refresh token GitHub does not say.
    ///
    /// # Errors
    /// `Unavailable` if nobody can tell: the tokens may still be good.
    pub async fn revoke(&self, tokens: &TokenSet) -> Result<bool, AuthError> {
        let revoked = RevokedTokens::new(tokens.access_token().token(), tokens.refresh_token());
        let Some(request) = self.provider().revocation_request(self.client(), revoked) else { return Ok(false) };
        let credential = revoked.access_token.fingerprint();
        self.ask(&self.0.revocation, credential, request, |response| self.provider().process_revocation(response))
            .await?;
        Ok(true)
    }

    /// Asks something about `credential` by our id and secret.
    pub(super) async fn ask<T>(
        &self,
        line: &Line,
        credential: Fingerprint,
        request: Request<Bytes>,
        process: impl FnOnce(&Response<Bytes>) -> Result<T, ProtocolError>,
    ) -> Result<T, Failure> {
        line.ask(self.provider(), credential, request, process).await
    }

    /// The name of this server at the provider.
    #[must_use]
    pub fn client_id(&self) -> &str {
        self.client().client_id()
    }

    pub(super) fn client(&self) -> &ClientAuthentication {
        &self.0.client
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.0.clock
    }

    pub(super) fn now(&self) -> UnixTime {
        self.0.clock.now()
    }

    pub(super) fn id_tokens(&self) -> Option<&IdTokens> {
        self.0.id_tokens.as_ref()
    }

    /// For codes that are redeemed.
    pub(super) fn codes(&self) -> &Line {
        &self.0.codes
    }

    /// For refresh tokens that are presented.
    pub(super) fn refresh_tokens(&self) -> &Line {
        &self.0.refresh_tokens
    }

    /// When the token endpoint accepted what goes with every request to it: the credentials of this server.
    pub(super) fn accepted(&self) -> &Accepted {
        &self.0.accepted
    }

    pub(super) fn introspection(&self) -> &Line {
        &self.0.introspection
    }
}
