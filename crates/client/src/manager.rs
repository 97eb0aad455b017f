//! [`TokenManager`]: the access tokens of one binding.

use std::{fmt, sync::Arc, time::Duration};

use portcullis_core::{AccessToken, Challenge, Clock, Generation, ResourceUri, ScopeSet, SystemClock, UnixTime};
use portcullis_refresh::GrantStore;
use tokio::sync::watch;

use crate::{AcquireError, Binding, Grant};

/// The access tokens for one resource. Clones share everything.
#[derive(Clone)]
pub struct TokenManager(Arc<Inner>);

struct Inner {
    grant: Arc<dyn Grant>,
}

impl TokenManager {
    /// Starts the configuration of a manager of the tokens that `grant` obtains.
    pub fn builder(grant: impl Grant) -> TokenManagerBuilder {
        TokenManagerBuilder {
            grant: Arc::new(grant),
            store: None,
            clock: Arc::new(SystemClock::new()),
            early_refresh: Duration::from_mins(2),
            exchange_timeout: Duration::from_secs(30),
            login_on_demand: false,
        }
    }

    /// Returns the resource that the tokens are for.
    #[must_use]
    pub fn resource(&self) -> &ResourceUri {
        self.0.grant.resource()
    }

    /// Returns the access token that is at hand, if it works as far as is known. It neither waits nor allocates.
    #[must_use]
    pub fn fresh(&self) -> Option<AccessToken> {
        unimplemented!()
    }

    /// Returns an access token that works as far as is known. It waits only if there is none.
    ///
    /// # Errors
    /// [`AcquireError`].
    pub async fn acquire(&self) -> Result<AccessToken, AcquireError> {
        unimplemented!()
    }

    /// As [`acquire`](Self::acquire), for an operation that needs all of `scopes`. Requests those that the token lacks.
    ///
    /// # Errors
    /// [`AcquireError`].
    pub async fn acquire_for(&self, scopes: &ScopeSet) -> Result<AccessToken, AcquireError> {
        let _ = scopes;
        unimplemented!()
    }

    /// Reports that the resource refused `token` with `challenge`, and returns another token.
    ///
    /// If a newer token is known, it is returned and nothing is requested. Else, one exchange is made for all callers.
    ///
    /// # Errors
    /// [`AcquireError`].
    pub async fn rejected(&self, token: &AccessToken, challenge: &Challenge) -> Result<AccessToken, AcquireError> {
        let _ = (token, challenge);
        unimplemented!()
    }

    /// Reports that the resource answered `challenge` to a request without a token, and returns a token.
    ///
    /// # Errors
    /// [`AcquireError`].
    pub async fn challenged(&self, challenge: &Challenge) -> Result<AccessToken, AcquireError> {
        let _ = challenge;
        unimplemented!()
    }

    /// Marks `token` as refused, if it is still the current one. Reports whether it was. The next caller obtains another one.
    pub fn invalidate_if(&self, token: &AccessToken) -> bool {
        let _ = token;
        unimplemented!()
    }

    /// Logs in with all of `scopes`, or joins a login in progress that requests them. Refreshes go on meanwhile.
    ///
    /// # Errors
    /// [`AcquireError`].
    pub async fn login(&self, scopes: &ScopeSet) -> Result<AccessToken, AcquireError> {
        let _ = scopes;
        unimplemented!()
    }

    /// Removes the tokens from this process and from the store. The authorization server is **not** told.
    ///
    /// # Errors
    /// [`AcquireError::Store`] if they cannot be removed from the store.
    pub async fn logout(&self) -> Result<(), AcquireError> {
        unimplemented!()
    }

    /// Returns what is known about the tokens now. It requests nothing.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        unimplemented!()
    }

    /// Returns a receiver that is told of each change of the [snapshot](Self::snapshot).
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Snapshot> {
        unimplemented!()
    }

    /// Waits for the exchange in progress and for everything that is not saved yet. Returns the number of bindings whose newest tokens
    /// could not be saved.
    pub async fn shutdown(&self) -> usize {
        unimplemented!()
    }
}

impl fmt::Debug for TokenManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenManager").field("grant", &self.0.grant).finish_non_exhaustive()
    }
}

/// The configuration of a [`TokenManager`].
#[derive(Debug)]
#[must_use]
pub struct TokenManagerBuilder {
    grant: Arc<dyn Grant>,
    store: Option<GrantStore>,
    clock: Arc<dyn Clock>,
    early_refresh: Duration,
    exchange_timeout: Duration,
    login_on_demand: bool,
}

impl TokenManagerBuilder {
    /// Sets where the tokens are kept. Default: the memory of this process.
    pub fn with_store(mut self, store: GrantStore) -> Self {
        self.store = Some(store);
        self
    }

    /// Sets the clock. Default: [`SystemClock`].
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Sets how long before its expiry a token is replaced in the background, at most. Default: two minutes. A fifth of the token's
    /// lifetime is the other limit.
    pub const fn with_early_refresh(mut self, early: Duration) -> Self {
        self.early_refresh = early;
        self
    }

    /// Sets how long an exchange may take. Default: 30 s.
    pub const fn with_exchange_timeout(mut self, timeout: Duration) -> Self {
        self.exchange_timeout = timeout;
        self
    }

    /// Starts a login for a caller that needs one, instead of [`AcquireError::ReauthRequired`] or [`AcquireError::StepUpRequired`].
    pub const fn with_login_on_demand(mut self) -> Self {
        self.login_on_demand = true;
        self
    }

    /// Creates the manager.
    ///
    /// # Panics
    /// Panics outside of a tokio runtime.
    #[must_use]
    pub fn build(self) -> TokenManager {
        TokenManager(Arc::new(Inner { grant: self.grant }))
    }
}

/// What is known about the tokens of a manager.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// The binding, once it is resolved.
    pub binding: Option<Binding>,
    /// The number of the current access token.
    pub generation: Option<Generation>,
    /// When the access token expires, if that is known.
    pub expires_at: Option<UnixTime>,
    /// The scopes of the access token.
    pub scopes: ScopeSet,
    /// What a caller can expect.
    pub state: TokenState,
    /// Whether the newest tokens could not be saved yet.
    pub unsaved: bool,
}

/// What a caller can expect of a [`TokenManager`].
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TokenState {
    /// No token is in this process yet.
    Unknown,
    /// The access token works.
    Fresh,
    /// The access token has expired or was refused, and no exchange is in progress.
    Stale,
    /// An exchange is in progress and there is no token that works.
    Refreshing,
    /// The last exchange failed: until this time from now on no other is made.
    BackingOff(Duration),
    /// The user has to log in.
    ReauthRequired,
}
