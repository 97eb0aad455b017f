//! [`TokenManager`]: the access tokens of one binding.

use std::{
    fmt,
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use portcullis_core::{
    AccessToken, AuthError, Challenge, Clock, Generation, Reason, ResourceUri, ScopeSet, SystemClock,
};
use portcullis_refresh::{GrantStore, TokenSet};
use portcullis_store::{KeyRing, MemoryStore};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use crate::{
    AcquireError, DpopKey, Grant, Snapshot,
    logins::{Cause, Logins},
    resolution::Resolver,
    resolved::Resolved,
    settings::{Settings, Tasks},
};

/// The access tokens for one resource. Clones share everything.
///
/// See [the contract](crate#contract).
#[derive(Clone)]
pub struct TokenManager(Arc<Inner>);

struct Inner {
    resolver: Arc<Resolver>,
    logins: Arc<Logins>,
    login_on_demand: bool,
    snapshots: OnceLock<watch::Sender<Snapshot>>,
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
        self.grant().resource()
    }

    /// Returns the access token that is at hand, if it works as far as is known. It neither waits nor allocates.
    #[must_use]
    pub fn fresh(&self) -> Option<AccessToken> {
        self.0.resolver.current().as_ref()?.tokens.fresh_token(None)
    }

    /// Returns an access token that works as far as is known. It waits only if there is none.
    ///
    /// # Errors
    /// [`AcquireError`].
    pub async fn acquire(&self) -> Result<AccessToken, AcquireError> {
        if let Some(token) = self.fresh() {
            return Ok(token);
        }
        let tokens = self.tokens(&ScopeSet::default()).await?;
        Ok(tokens.access_token().clone())
    }

    /// Returns the token for a request to the resource; `None` if only a login of the user helps.
    ///
    /// It starts no login: what a login needs is known from the challenge of the resource, which may require no token at all.
    pub(crate) async fn token_of_request(&self) -> Result<Option<AccessToken>, AcquireError> {
        if let Some(token) = self.fresh() {
            return Ok(Some(token));
        }
        if !self.grant().is_interactive() {
            return self.acquire().await.map(Some);
        }
        let Some(resolved) = self.0.resolver.resolved_before().await? else { return Ok(None) };
        match resolved.tokens.tokens(None).await.map_err(AcquireError::from) {
            Ok(tokens) => Ok(Some(tokens.access_token().clone())),
            Err(AcquireError::ReauthRequired(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns an access token for an operation that needs all of `scopes`. Requests those that the token lacks.
    ///
    /// Scopes that were requested and not granted are not requested again, except by a [login](Self::login).
    ///
    /// # Errors
    /// [`AcquireError`]; above all [`AcquireError::StepUpRequired`] if the user has to grant them, or if they were not granted.
    pub async fn acquire_for(&self, scopes: &ScopeSet) -> Result<AccessToken, AcquireError> {
        let tokens = self.tokens(scopes).await?;
        if tokens.scopes().is_superset(scopes) {
            return Ok(tokens.access_token().clone());
        }
        let tokens = self.step_up(&tokens, scopes).await?;
        Ok(tokens.access_token().clone())
    }

    /// Reports that the resource refused `token` with `challenge`, and returns another token.
    ///
    /// If a newer token is known, it is returned and nothing is requested. Else, one exchange is made for all callers.
    ///
    /// # Errors
    /// [`AcquireError`]; [`AcquireError::Unavailable`] also if `token` has just replaced another refused one, because another exchange
    /// would not help: either the authorization server issues tokens that the resource refuses, or the request was refused for another
    /// reason.
    pub async fn rejected(&self, token: &AccessToken, challenge: &Challenge) -> Result<AccessToken, AcquireError> {
        if let Some(newer) = self.newer_than(token) {
            return Ok(newer);
        }
        let resolved = self.0.resolver.resolved(Some(challenge)).await?;
        let scopes = scopes_of(challenge);
        resolved.want(&scopes);
        let mut refused = generation_of(&resolved, token);
        // Whatever is returned must be another token than the refused one: the store may have that one, under another number.
        for _ in 0..2 {
            let tokens = match self.tokens_of(&resolved, refused, &scopes).await {
                Err(AcquireError::Unavailable(error)) if error.reason() == Reason::FreshTokenRefused => {
                    return self.at_another_issuer(&resolved, error).await;
                }
                result => result?,
            };
            if !is_same(tokens.access_token(), token) {
                return Ok(tokens.access_token().clone());
            }
            refused = Some(tokens.generation());
        }
        let error = AuthError::new(Reason::FreshTokenRefused).with_source("the new token is the refused one");
        Err(AcquireError::Unavailable(error))
    }

    /// Reports that the resource answered `challenge` to a request without a token, and returns a token.
    ///
    /// # Errors
    /// [`AcquireError`].
    pub async fn challenged(&self, challenge: &Challenge) -> Result<AccessToken, AcquireError> {
        let resolved = self.0.resolver.resolved(Some(challenge)).await?;
        let scopes = scopes_of(challenge);
        resolved.want(&scopes);
        let tokens = self.tokens_of(&resolved, None, &scopes).await?;
        Ok(tokens.access_token().clone())
    }

    /// Marks `token` as refused, if it is still the current one. Reports whether it was. The next caller obtains another one.
    pub fn invalidate_if(&self, token: &AccessToken) -> bool {
        let resolved = self.0.resolver.current();
        let Some(resolved) = &*resolved else { return false };
        let current = resolved.tokens.status().tokens.filter(|current| is_same(current.access_token(), token));
        current.is_some_and(|current| resolved.tokens.report(current.generation()))
    }

    /// Logs in with all of `scopes`, or joins a login in progress that requests them. Refreshes go on meanwhile.
    ///
    /// The scopes that the token has are requested as well. A grant that needs no user obtains new tokens.
    ///
    /// # Errors
    /// [`AcquireError`].
    pub async fn login(&self, scopes: &ScopeSet) -> Result<AccessToken, AcquireError> {
        let tokens = self.0.logins.log_in(scopes, Cause::Application).await?;
        Ok(tokens.access_token().clone())
    }

    /// Removes the tokens from this process and from the store. The authorization server is **not** told.
    ///
    /// Those at each of the last eight authorization servers that the resource has named to this manager are removed, not those of earlier
    /// processes at a server that it does not name any more. A login in progress has no effect any more. The next caller of a grant that
    /// needs no user obtains new tokens.
    ///
    /// # Errors
    /// [`AcquireError::Store`] if they cannot be removed from the store: they are not used in this process any more nevertheless.
    pub async fn logout(&self) -> Result<(), AcquireError> {
        self.0.logins.forget();
        let resolver = Arc::clone(&self.0.resolver);
        let removal = async move {
            if resolver.current().is_none() {
                resolver.resolved(None).await?;
            }
            // Those at an earlier authorization server as well: the resource may name it again.
            let mut removed = Ok(());
            for known in resolver.known() {
                if let Err(error) = known.refresher.delete(known.id).await {
                    removed = Err(AcquireError::Store(error.into()));
                }
            }
            removed
        };
        // A caller that goes away does not leave it half done.
        self.0.resolver.settings.tasks.share(removal).await
    }

    /// Returns what is known about the tokens now. It requests nothing.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.0.snapshot().0
    }

    /// Returns a receiver that is told of each change of the [snapshot](Self::snapshot), also of those by the passing of time.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Snapshot> {
        let start = || {
            let sender = watch::Sender::new(self.snapshot());
            let watching = watch(Arc::downgrade(&self.0), sender.clone());
            drop(self.0.resolver.settings.tasks.runtime.spawn(watching));
            sender
        };
        self.0.snapshots.get_or_init(start).subscribe()
    }

    /// Waits for the exchange in progress and for everything that is not saved yet. Returns the number of bindings whose newest tokens
    /// could not be saved.
    ///
    /// A login that waits for the user ends; one whose authorization code was sent is waited for, for as long as an exchange may take. Call it
    /// when no more requests come.
    pub async fn shutdown(&self) -> usize {
        let tasks = &self.0.resolver.settings.tasks;
        tasks.draining.cancel();
        tasks.tracker.close();
        tasks.tracker.wait().await;
        let mut lost = 0;
        for resolved in self.0.resolver.known() {
            lost += resolved.refresher.shutdown().await;
        }
        lost
    }

    /// Returns the key to which the tokens are bound.
    pub(crate) fn dpop_key(&self) -> Option<&DpopKey> {
        self.grant().dpop_key()
    }

    fn grant(&self) -> &dyn Grant {
        &*self.0.resolver.settings.grant
    }

    /// Returns the token that is at hand, if it works and `refused` is an earlier one.
    fn newer_than(&self, refused: &AccessToken) -> Option<AccessToken> {
        let resolved = self.0.resolver.current();
        let resolved = resolved.as_ref()?;
        let newer = resolved.tokens.fresh_token(generation_of(resolved, refused))?;
        (!is_same(&newer, refused)).then_some(newer)
    }

    /// Returns the current tokens, or new ones. If the user has to log in, and the manager may ask the user, the login requests `scopes`.
    async fn tokens(&self, scopes: &ScopeSet) -> Result<Arc<TokenSet>, AcquireError> {
        let resolved = self.0.resolver.resolved(None).await?;
        self.tokens_of(&resolved, None, scopes).await
    }

    /// As [`tokens`](Self::tokens), of a binding: tokens that are newer than those of the `refused` generation.
    async fn tokens_of(
        &self,
        resolved: &Resolved,
        refused: Option<Generation>,
        scopes: &ScopeSet,
    ) -> Result<Arc<TokenSet>, AcquireError> {
        // Without a refresh token only the user can replace it. Other requests may be accepted with it.
        let needs_user = |tokens: Arc<TokenSet>| {
            Some(tokens.generation()) == refused && tokens.refresh_token().is_none() && self.asks_user()
        };
        if refused.is_some() && resolved.tokens.status().tokens.is_some_and(needs_user) {
            self.0.logins.may_replace_login(resolved.id)?;
        }
        let tokens = loop {
            let step_up = match self.0.logins.unless_stepping_up(|| resolved.tokens.tokens(refused)) {
                Ok(tokens) => break tokens,
                Err(step_up) => step_up,
            };
            let status = resolved.tokens.status();
            let working =
                status.tokens.filter(|tokens| status.has_working_token && refused < Some(tokens.generation()));
            if let Some(tokens) = working {
                return Ok(tokens);
            }
            // Its failure is that of the callers who asked for it.
            drop(step_up.await);
        };
        match tokens.await.map_err(AcquireError::from) {
            Err(AcquireError::ReauthRequired(_)) if self.asks_user() => {
                self.0.logins.may_replace_login(resolved.id)?;
                self.0.logins.log_in(scopes, Cause::Caller).await
            }
            result => result,
        }
    }

    fn asks_user(&self) -> bool {
        self.0.login_on_demand && self.grant().is_interactive()
    }

    /// Requests `scopes` in addition to those of `tokens`, which lack some.
    async fn step_up(&self, tokens: &TokenSet, scopes: &ScopeSet) -> Result<Arc<TokenSet>, AcquireError> {
        let required = || AcquireError::StepUpRequired { scopes: tokens.scopes().union(scopes) };
        let resolved = self.0.resolver.resolved(None).await?;
        let may_ask = self.grant().can_step_up() && (self.asks_user() || !self.grant().is_interactive());
        if !may_ask || resolved.is_denied(scopes) {
            return Err(required());
        }
        match self.0.logins.log_in(scopes, Cause::Caller).await {
            Ok(tokens) if tokens.scopes().is_superset(scopes) => Ok(tokens),
            // The tokens that there are still work.
            Ok(_) | Err(AcquireError::ReauthRequired(_)) => Err(required()),
            Err(error) => Err(error),
        }
    }

    /// A new token was refused at once. Tokens of another authorization server may be accepted, if the resource has moved to one.
    async fn at_another_issuer(&self, before: &Arc<Resolved>, error: AuthError) -> Result<AccessToken, AcquireError> {
        if self.0.resolver.moved_from(before.id).await.is_some() {
            return Ok(self.tokens(&ScopeSet::default()).await?.access_token().clone());
        }
        Err(AcquireError::Unavailable(error))
    }
}

impl Inner {
    /// Returns the snapshot, and how long it takes until it changes by itself.
    fn snapshot(&self) -> (Snapshot, Option<Duration>) {
        let is_interactive = self.resolver.settings.grant.is_interactive();
        match &*self.resolver.current() {
            Some(resolved) => {
                let status = resolved.tokens.status();
                (Snapshot::new(&resolved.binding, &status, is_interactive), status.next_change)
            }
            None => {
                let backing_off = self.resolver.backing_off();
                (Snapshot::unresolved(backing_off), backing_off)
            }
        }
    }
}

/// Sends the changes of the snapshot, for as long as the manager is in use.
async fn watch(inner: Weak<Inner>, snapshots: watch::Sender<Snapshot>) {
    loop {
        let (mut resolved, mut tokens, next) = {
            let Some(inner) = inner.upgrade() else { return };
            let resolved = inner.resolver.changes();
            let tokens = inner.resolver.current().as_ref().and_then(|resolved| resolved.refresher.changes());
            let (snapshot, next) = inner.snapshot();
            snapshots.send_if_modified(|last| {
                let has_changed = *last != snapshot;
                *last = snapshot;
                has_changed
            });
            (resolved, tokens, next)
        };
        let until = next.map(|next| Instant::now() + next.max(Duration::from_millis(1)));
        let is_over = tokio::select! {
            changed = resolved.changed() => changed.is_err(),
            changed = async {
                match &mut tokens {
                    Some(tokens) => tokens.changed().await,
                    None => std::future::pending().await,
                }
            } => changed.is_err(),
            () = async {
                match until {
                    Some(until) => sleep_until(until).await,
                    None => std::future::pending().await,
                }
            } => false,
        };
        if is_over {
            return;
        }
    }
}

/// Returns the generation of a refused token in this process. A token that is not the current one is of an earlier generation, whatever
/// its number says: it may be of another login.
fn generation_of(resolved: &Resolved, token: &AccessToken) -> Option<Generation> {
    let current = resolved.tokens.status().tokens?;
    if is_same(current.access_token(), token) {
        return Some(current.generation());
    }
    Some(token.generation()).filter(|generation| *generation < current.generation())
}

fn is_same(a: &AccessToken, b: &AccessToken) -> bool {
    a.token().fingerprint() == b.token().fingerprint()
}

fn scopes_of(challenge: &Challenge) -> ScopeSet {
    challenge.param("scope").and_then(|scopes| ScopeSet::parse(scopes).ok()).unwrap_or_default()
}

impl fmt::Debug for TokenManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenManager").field("grant", &self.0.resolver.settings.grant).finish_non_exhaustive()
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
        let in_memory = || {
            let store = Arc::new(MemoryStore::new().with_clock(Arc::clone(&self.clock)));
            GrantStore::new(store, KeyRing::ephemeral()).expect("a store in memory may have a key in memory")
        };
        let resolver = Arc::new(Resolver::new(Settings {
            store: self.store.clone().unwrap_or_else(in_memory),
            grant: self.grant,
            clock: Arc::clone(&self.clock),
            early_refresh: self.early_refresh,
            exchange_timeout: self.exchange_timeout,
            tasks: Tasks::current(),
        }));
        TokenManager(Arc::new(Inner {
            logins: Arc::new(Logins::new(Arc::clone(&resolver))),
            resolver,
            login_on_demand: self.login_on_demand,
            snapshots: OnceLock::new(),
        }))
    }
}
