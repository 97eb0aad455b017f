//! [`Resolved`]: a binding, with the engine that keeps its tokens.

use std::sync::{Arc, Mutex};

use portcullis_core::{AuthError, GrantId, Reason, ScopeSet, UnixTime};
use portcullis_oauth::{TokenResponse, jwt::UnverifiedJwt};
use portcullis_refresh::{Acquisition, ClientGrant, Refresher, RefresherConfig, TokenSet};
use tower::service_fn;

use crate::{
    Binding, GrantError, GrantErrorKind,
    settings::{Settings, lock},
};

/// The longest token whose expiry is read from the token itself.
const MAX_JWT: usize = 16 * 1024;

/// The scopes that the resource named in its last challenge, until the authorization server has answered a request for them. Clones are the
/// same.
#[derive(Clone, Default)]
struct Wanted(Arc<Mutex<ScopeSet>>);

impl Wanted {
    fn get(&self) -> ScopeSet {
        lock(&self.0).clone()
    }

    /// Records the scopes of a challenge, if it names some.
    fn set(&self, scopes: &ScopeSet) {
        if !scopes.is_empty() {
            lock(&self.0).clone_from(scopes);
        }
    }

    /// Removes `requested` scopes: they were granted, and are those of the token, or they were not.
    fn remove(&self, requested: &ScopeSet) {
        let mut wanted = lock(&self.0);
        *wanted = without(&wanted, requested);
    }
}

/// Returns the scopes that are not among the `other` ones.
fn without(scopes: &ScopeSet, other: &ScopeSet) -> ScopeSet {
    ScopeSet::new(scopes.iter().filter(|scope| !other.contains(scope))).expect("scopes of a set are valid")
}

/// A binding, with the engine that keeps its tokens.
pub(crate) struct Resolved {
    pub(crate) binding: Binding,
    pub(crate) id: GrantId,
    pub(crate) refresher: Refresher,
    pub(crate) tokens: ClientGrant,
    wanted: Wanted,
    /// The scopes that were requested and not granted.
    denied: Mutex<ScopeSet>,
}

impl Resolved {
    pub(crate) fn new(settings: &Arc<Settings>, binding: Binding) -> Self {
        let grant = &settings.grant;
        let config = RefresherConfig::for_client(binding.issuer.clone(), grant.name())
            .with_clock(Arc::clone(&settings.clock))
            .with_early_refresh(settings.early_refresh)
            .with_refresh_timeout(settings.exchange_timeout);
        let wanted = Wanted::default();
        let calls = Calls { settings: Arc::clone(settings), binding: binding.clone(), wanted: wanted.clone() };
        let (calls, store) = (Arc::new(calls), settings.store.clone());
        let refreshing = Arc::clone(&calls);
        let refresh = service_fn(move |tokens| Arc::clone(&refreshing).refresh(tokens));
        let refresher = if grant.is_interactive() {
            Refresher::new(store, refresh, config)
        } else {
            let acquire = service_fn(move |request| Arc::clone(&calls).acquire(request));
            Refresher::with_acquisition(store, refresh, acquire, config)
        };
        let id = binding.grant_id(grant.name());
        let tokens = refresher.client_grant(id);
        Self { id, tokens, refresher, binding, wanted, denied: Mutex::default() }
    }

    /// Records that a challenge of the resource named these scopes, so that they are requested with the next token.
    pub(crate) fn want(&self, scopes: &ScopeSet) {
        self.wanted.set(scopes);
    }

    /// Returns the scopes that a login requests which is to have all of `asked`: those that were granted stay.
    pub(crate) fn scopes_of_login(&self, asked: &ScopeSet) -> ScopeSet {
        let granted = self.tokens.status().tokens.map(|tokens| tokens.scopes().clone()).unwrap_or_default();
        self.binding.scopes.union(&self.wanted.get()).union(&granted).union(asked)
    }

    /// Records what a login or a step-up that requested `scopes` was granted.
    pub(crate) fn record_granted(&self, requested: &ScopeSet, granted: &ScopeSet) {
        let mut denied = lock(&self.denied);
        *denied = without(&denied.union(requested), granted);
    }

    /// Reports whether some of `scopes` were requested already, and not granted.
    pub(crate) fn is_denied(&self, scopes: &ScopeSet) -> bool {
        let granted = self.tokens.status().tokens;
        let denied = lock(&self.denied);
        let is_granted = |scope: &str| granted.as_ref().is_some_and(|tokens| tokens.scopes().contains(scope));
        let mut missing = scopes.iter().filter(|scope| !is_granted(scope)).peekable();
        missing.peek().is_some() && missing.all(|scope| denied.contains(scope))
    }

    /// Obtains the tokens of a login or a step-up.
    pub(crate) async fn obtain(&self, settings: &Settings, scopes: ScopeSet) -> Result<TokenResponse, GrantError> {
        obtain(settings, &self.binding, &self.wanted, scopes).await
    }

    /// Reports whether nothing about the tokens is in progress that the store does not have yet.
    pub(crate) fn is_idle(&self) -> bool {
        let status = self.tokens.status();
        !status.is_refreshing && !status.is_unsaved
    }

    /// Waits until no exchange of the engine is in progress.
    pub(crate) async fn idle(&self) {
        let Some(mut changes) = self.refresher.changes() else { return };
        while self.tokens.status().is_refreshing {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }
}

/// The calls of the engine to the grant.
struct Calls {
    settings: Arc<Settings>,
    binding: Binding,
    wanted: Wanted,
}

impl Calls {
    async fn refresh(self: Arc<Self>, tokens: Arc<TokenSet>) -> Result<TokenResponse, GrantError> {
        let refresh_token = tokens.refresh_token().ok_or_else(|| {
            GrantError::not_sent(AuthError::new(Reason::GrantEnded).with_source("there is no refresh token"))
        })?;
        let response = self.settings.grant.refresh(&self.binding, refresh_token).await?;
        Ok(with_expiry(response, self.settings.clock.now()))
    }

    async fn acquire(self: Arc<Self>, request: Acquisition) -> Result<TokenResponse, GrantError> {
        let granted = request.current.map(|tokens| tokens.scopes().clone()).unwrap_or_default();
        let scopes = self.binding.scopes.union(&self.wanted.get()).union(&granted);
        obtain(&self.settings, &self.binding, &self.wanted, scopes).await
    }
}

/// Obtains tokens without a refresh token. The response states scopes and, if it can be known, the expiry.
async fn obtain(
    settings: &Settings,
    binding: &Binding,
    wanted: &Wanted,
    scopes: ScopeSet,
) -> Result<TokenResponse, GrantError> {
    let answer = settings.grant.obtain(binding, &scopes).await;
    if answer.as_ref().err().is_none_or(is_refusal) {
        wanted.remove(&scopes);
    }
    let mut response = answer?;
    response.scopes.get_or_insert(scopes);
    Ok(with_expiry(response, settings.clock.now()))
}

/// Reports whether the authorization server or the user has refused the request: the same scopes are not requested with the next one.
const fn is_refusal(error: &GrantError) -> bool {
    matches!(error.kind(), GrantErrorKind::Refused | GrantErrorKind::Misconfigured | GrantErrorKind::Unexplained)
}

/// Reads the expiry from the token if the response does not state one. A token that was just issued has not expired: if it says so, a
/// clock is wrong, and the expiry counts as unknown.
fn with_expiry(mut response: TokenResponse, now: UnixTime) -> TokenResponse {
    let is_unknown = response.expires_in.is_none() && response.expires_at.is_none();
    if is_unknown && UnverifiedJwt::is_likely(&response.access_token) {
        let claimed = UnverifiedJwt::parse(&response.access_token, MAX_JWT).ok().and_then(|jwt| jwt.claimed_expiry());
        response.expires_at = claimed.filter(|expiry| *expiry > now);
    }
    response
}
