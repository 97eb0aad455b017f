//! [`Resolver`]: finds the [binding](Binding) of a grant, once for all callers; and [`Resolved`]: a binding, with the engine that keeps its
//! tokens.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use portcullis_core::{AuthError, Challenge, Clock, GrantId, Issuer, Reason, ResourceUri, ScopeSet, UnixTime};
use portcullis_egress::back_off_window;
use portcullis_oauth::{TokenResponse, jwt::UnverifiedJwt};
use portcullis_refresh::{Acquisition, ClientGrant, GrantStore, Refresher, RefresherConfig, TokenSet};
use portcullis_remote::SharedTask;
use portcullis_store::{RecordKey, StoreError};
use serde::{Deserialize, Serialize};
use tokio::{
    runtime::Handle,
    sync::watch,
    task::JoinError,
    time::{Instant, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::service_fn;

use crate::{AcquireError, Binding, Grant, GrantError, GrantErrorKind, collections::BINDINGS};

/// The longest token whose expiry is read from the token itself.
const MAX_JWT: usize = 16 * 1024;

/// The time between two resolutions of a binding whose new tokens are refused: the metadata of the resource is fetched for each.
const BETWEEN_REFUSALS: Duration = Duration::from_secs(10);

/// What the parts of a manager have in common.
pub(crate) struct Settings {
    pub(crate) grant: Arc<dyn Grant>,
    pub(crate) store: GrantStore,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) early_refresh: Duration,
    pub(crate) exchange_timeout: Duration,
    pub(crate) tasks: Tasks,
}

/// The tasks of a manager, on the runtime in which it was built.
pub(crate) struct Tasks {
    pub(crate) runtime: Handle,
    pub(crate) tracker: TaskTracker,
    /// Cancelled when the manager shuts down.
    pub(crate) draining: CancellationToken,
}

impl Tasks {
    pub(crate) fn current() -> Self {
        Self { runtime: Handle::current(), tracker: TaskTracker::new(), draining: CancellationToken::new() }
    }

    /// Runs `work` on a task of its own, which no caller can cancel.
    pub(crate) fn share<T: Clone + Send + Sync + 'static>(
        &self,
        work: impl Future<Output = Result<T, AcquireError>> + Send + 'static,
    ) -> SharedTask<Result<T, AcquireError>> {
        SharedTask::new(self.runtime.spawn(self.tracker.track_future(work)), failed)
    }
}

fn failed<T>(_: JoinError) -> Result<T, AcquireError> {
    Err(AcquireError::Unavailable(AuthError::new(Reason::VerifierFailed)))
}

/// The memory of a failure: until its time the error is the answer.
#[derive(Default)]
pub(crate) struct BackOff {
    failures: u32,
    until: Option<(Instant, AcquireError)>,
}

impl BackOff {
    /// Records a failure.
    pub(crate) fn fail(&mut self, error: &AcquireError) {
        let pause = back_off_window(self.failures, error.retry_after());
        self.failures = self.failures.saturating_add(1);
        self.until = Some((Instant::now() + pause, error.clone()));
    }

    /// Returns the error of the last failure and the time that is left of it.
    pub(crate) fn active(&self) -> Option<(Duration, AcquireError)> {
        let (until, error) = self.until.as_ref()?;
        let left = until.saturating_duration_since(Instant::now());
        (!left.is_zero()).then(|| (left, error.clone().with_retry_after(left)))
    }
}

/// A binding, with the engine that keeps its tokens.
pub(crate) struct Resolved {
    pub(crate) binding: Binding,
    pub(crate) id: GrantId,
    pub(crate) refresher: Refresher,
    pub(crate) tokens: ClientGrant,
    /// The scopes that a resource named before there was a token.
    wanted: Arc<Mutex<ScopeSet>>,
    /// The scopes that were requested and not granted.
    denied: Mutex<ScopeSet>,
}

impl Resolved {
    fn new(settings: &Arc<Settings>, binding: Binding) -> Self {
        let grant = &settings.grant;
        let config = RefresherConfig::for_client(binding.issuer.clone(), grant.name())
            .with_clock(Arc::clone(&settings.clock))
            .with_early_refresh(settings.early_refresh)
            .with_refresh_timeout(settings.exchange_timeout);
        let wanted = Arc::new(Mutex::new(ScopeSet::default()));
        let calls = Calls { settings: Arc::clone(settings), binding: binding.clone(), wanted: Arc::clone(&wanted) };
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

    /// Records that the resource named these scopes, so that they are requested with the first token.
    pub(crate) fn want(&self, scopes: &ScopeSet) {
        let mut wanted = lock(&self.wanted);
        *wanted = wanted.union(scopes);
    }

    /// Returns the scopes that a login requests which is to have all of `asked`: those that were granted stay.
    pub(crate) fn scopes_of_login(&self, asked: &ScopeSet) -> ScopeSet {
        let granted = self.tokens.status().tokens.map(|tokens| tokens.scopes().clone()).unwrap_or_default();
        self.binding.scopes.union(&lock(&self.wanted)).union(&granted).union(asked)
    }

    /// Records what a login or a step-up that requested `scopes` was granted.
    pub(crate) fn record_granted(&self, requested: &ScopeSet, granted: &ScopeSet) {
        let mut denied = lock(&self.denied);
        let asked = denied.union(requested);
        let refused = asked.iter().filter(|scope| !granted.contains(scope));
        *denied = ScopeSet::new(refused).expect("scopes of a set are valid");
    }

    /// Reports whether some of `scopes` were requested already, and not granted.
    pub(crate) fn is_denied(&self, scopes: &ScopeSet) -> bool {
        let granted = self.tokens.status().tokens;
        let denied = lock(&self.denied);
        let is_granted = |scope: &str| granted.as_ref().is_some_and(|tokens| tokens.scopes().contains(scope));
        let mut missing = scopes.iter().filter(|scope| !is_granted(scope)).peekable();
        missing.peek().is_some() && missing.all(|scope| denied.contains(scope))
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
    wanted: Arc<Mutex<ScopeSet>>,
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
        let scopes = self.binding.scopes.union(&lock(&self.wanted)).union(&granted);
        obtain(&self.settings, &self.binding, scopes).await
    }
}

/// Obtains tokens without a refresh token. The response states scopes and, if it can be known, the expiry.
pub(crate) async fn obtain(
    settings: &Settings,
    binding: &Binding,
    scopes: ScopeSet,
) -> Result<TokenResponse, GrantError> {
    let mut response = settings.grant.obtain(binding, &scopes).await?;
    response.scopes.get_or_insert(scopes);
    Ok(with_expiry(response, settings.clock.now()))
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

/// Finds the binding of a grant.
pub(crate) struct Resolver {
    pub(crate) settings: Arc<Settings>,
    current: ArcSwapOption<Resolved>,
    state: Mutex<State>,
    /// Told when the binding has changed, or could not be resolved.
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    running: Option<Resolution>,
    back_off: BackOff,
    /// The metadata document that the resource named when the binding was resolved.
    metadata_url: Option<String>,
    /// The newest challenge of the resource.
    challenge: Option<Challenge>,
    /// When the binding was last resolved because the resource refused new tokens.
    refused_at: Option<Instant>,
    /// All that were in use. A binding that comes back finds its tokens.
    known: HashMap<GrantId, Arc<Resolved>>,
}

type Resolution = SharedTask<Result<Arc<Resolved>, AcquireError>>;

impl Resolver {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings: Arc::new(settings),
            current: ArcSwapOption::empty(),
            state: Mutex::default(),
            changed: watch::Sender::new(()),
        }
    }

    /// Returns the binding in use, if it is resolved. It takes no lock and allocates nothing.
    pub(crate) fn current(&self) -> arc_swap::Guard<Option<Arc<Resolved>>> {
        self.current.load()
    }

    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Returns for how long the binding is not resolved, because it could not be.
    pub(crate) fn backing_off(&self) -> Option<Duration> {
        lock(&self.state).back_off.active().map(|(left, _)| left)
    }

    /// Returns all bindings that were in use.
    pub(crate) fn known(&self) -> Vec<Arc<Resolved>> {
        lock(&self.state).known.values().cloned().collect()
    }

    /// Returns the binding; resolves it if it is not known, or if the resource names another metadata document than it did.
    ///
    /// A known binding stays in use if it cannot be resolved anew.
    pub(crate) async fn resolved(
        self: &Arc<Self>,
        challenge: Option<&Challenge>,
    ) -> Result<Arc<Resolved>, AcquireError> {
        let mut error = None;
        // The second one is for a caller that joined a resolution that was not about its challenge.
        for _ in 0..2 {
            let current = self.current.load_full();
            let is_news = challenge.is_some_and(|challenge| self.is_news(challenge));
            if let Some(current) = current.filter(|_| !is_news) {
                return Ok(current);
            }
            match self.join(challenge.cloned(), Haste::Usual) {
                Ok(resolution) => error = resolution.await.err(),
                Err(remembered) => {
                    error = Some(remembered);
                    break;
                }
            }
        }
        self.current.load_full().ok_or_else(|| error.unwrap_or_else(unresolved))
    }

    /// Returns the binding that is in use or stored; `None` if it would have to be resolved by requests.
    pub(crate) async fn resolved_before(self: &Arc<Self>) -> Result<Option<Arc<Resolved>>, AcquireError> {
        if self.current.load().is_none() && self.stored().await.is_none() {
            return Ok(None);
        }
        self.resolved(None).await.map(Some)
    }

    /// Resolves the binding anew, by the newest challenge of the resource.
    pub(crate) async fn resolve_again(self: &Arc<Self>) -> Result<Arc<Resolved>, AcquireError> {
        let challenge = lock(&self.state).challenge.clone();
        self.join(challenge, Haste::AtOnce)?.await
    }

    /// Resolves the binding anew because the resource refuses new tokens of the binding `before`, at most once per
    /// [`BETWEEN_REFUSALS`]. Returns the binding if it is another one now.
    pub(crate) async fn moved_from(self: &Arc<Self>, before: GrantId) -> Option<Arc<Resolved>> {
        let is_due = {
            let (mut state, now) = (lock(&self.state), Instant::now());
            let is_due = state.refused_at.is_none_or(|last| now >= last + BETWEEN_REFUSALS);
            if is_due {
                state.refused_at = Some(now);
            }
            is_due || state.running.as_ref().is_some_and(|resolution| !resolution.is_finished())
        };
        if is_due {
            // The binding in use stays if it cannot be resolved.
            drop(self.resolve_again().await);
        }
        self.current.load_full().filter(|now| now.id != before)
    }

    fn is_news(&self, challenge: &Challenge) -> bool {
        let named = challenge.param("resource_metadata");
        let mut state = lock(&self.state);
        if state.challenge.as_ref() != Some(challenge) {
            state.challenge = Some(challenge.clone());
        }
        named.is_some() && named != state.metadata_url.as_deref()
    }

    /// Joins the resolution in progress, or starts one.
    fn join(self: &Arc<Self>, challenge: Option<Challenge>, haste: Haste) -> Result<Resolution, AcquireError> {
        let mut state = lock(&self.state);
        if let Some(resolution) = state.running.as_ref().filter(|resolution| !resolution.is_finished()) {
            return Ok(resolution.clone());
        }
        if let Some((_, error)) = state.back_off.active().filter(|_| haste == Haste::Usual) {
            return Err(error);
        }
        let this = Arc::clone(self);
        let resolution = self.settings.tasks.share(async move { this.resolve(challenge, haste).await });
        state.running = Some(resolution.clone());
        Ok(resolution)
    }

    async fn resolve(
        self: Arc<Self>,
        challenge: Option<Challenge>,
        haste: Haste,
    ) -> Result<Arc<Resolved>, AcquireError> {
        let is_first = challenge.is_none() && haste == Haste::Usual && self.current.load().is_none();
        let stored = if is_first { self.stored().await } else { None };
        let result = match stored {
            Some(binding) => Ok(binding),
            None => self.ask(challenge.as_ref()).await,
        };
        let mut state = lock(&self.state);
        state.running = None;
        let result = match result {
            Ok(binding) => {
                state.back_off = BackOff::default();
                let named = challenge.as_ref().and_then(|challenge| challenge.param("resource_metadata"));
                state.metadata_url = named.map(str::to_owned).or_else(|| state.metadata_url.take());
                let new = || Arc::new(Resolved::new(&self.settings, binding.clone()));
                let resolved =
                    Arc::clone(state.known.entry(binding.grant_id(self.settings.grant.name())).or_insert_with(new));
                self.current.store(Some(Arc::clone(&resolved)));
                Ok(resolved)
            }
            Err(error) => {
                state.back_off.fail(&error);
                Err(error)
            }
        };
        drop(state);
        self.changed.send_replace(());
        result
    }

    async fn ask(&self, challenge: Option<&Challenge>) -> Result<Binding, AcquireError> {
        let answer = timeout(self.settings.exchange_timeout, self.settings.grant.resolve(challenge)).await;
        let answer = answer.unwrap_or_else(|_| Err(GrantError::ambiguous(AuthError::new(Reason::ProviderTimeout))));
        let binding = answer.map_err(AcquireError::of_grant)?;
        if let Err(error) = self.store(&binding).await {
            tracing::warn!(%error, "the binding of the tokens could not be stored: the next process resolves it anew");
        }
        Ok(binding)
    }

    fn key(&self) -> Option<RecordKey> {
        let grant = &self.settings.grant;
        let stored_as = grant.stored_as()?;
        Some(RecordKey::of(
            BINDINGS,
            &[grant.resource().as_str().as_bytes(), grant.name().as_bytes(), stored_as.as_bytes()],
        ))
    }

    async fn stored(&self) -> Option<Binding> {
        let record = self.settings.store.sealed_store().load::<StoredBinding>(self.key()?).await;
        let record =
            record.inspect_err(|error| tracing::warn!(%error, "the stored binding of the tokens could not be read"));
        record.ok()??.value.binding()
    }

    async fn store(&self, binding: &Binding) -> Result<(), StoreError> {
        let Some(key) = self.key() else { return Ok(()) };
        let (store, new) = (self.settings.store.sealed_store(), StoredBinding::from(binding));
        loop {
            let written = match store.load::<StoredBinding>(key).await? {
                Some(known) if known.value == new => return Ok(()),
                Some(known) => store.replace(key, known.version, &new, UnixTime::MAX).await?,
                None => store.create(key, &new, UnixTime::MAX).await?,
            };
            if written.is_some() {
                return Ok(());
            }
        }
    }
}

/// Whether a remembered failure keeps from resolving a binding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Haste {
    Usual,
    AtOnce,
}

fn unresolved() -> AcquireError {
    AcquireError::Unavailable(AuthError::new(Reason::ProviderUnavailable).with_source("the binding is not resolved"))
}

impl AcquireError {
    /// Returns the error of a caller, from that of a request of a grant outside of the engine.
    pub(crate) fn of_grant(error: GrantError) -> Self {
        match error.kind() {
            GrantErrorKind::Misconfigured => Self::Config(error.into()),
            _ => AuthError::from(error).into(),
        }
    }
}

/// The stored form of a binding. The names are part of the database format.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
struct StoredBinding {
    resource: String,
    issuer: String,
    client_id: Box<str>,
    scopes: ScopeSet,
    subject: Option<Box<str>>,
}

impl From<&Binding> for StoredBinding {
    fn from(binding: &Binding) -> Self {
        Self {
            resource: binding.resource.as_str().to_owned(),
            issuer: binding.issuer.as_str().to_owned(),
            client_id: binding.client_id.clone(),
            scopes: binding.scopes.clone(),
            subject: binding.subject.clone(),
        }
    }
}

impl StoredBinding {
    /// Returns the binding, unless a part of it is not valid any more.
    fn binding(self) -> Option<Binding> {
        let issuer = Issuer::in_private_network(&self.issuer).ok()?;
        let resource = ResourceUri::new(&self.resource).ok()?;
        let binding = Binding::new(resource, issuer, &self.client_id).with_scopes(self.scopes);
        Some(match self.subject {
            Some(subject) => binding.with_subject(&subject),
            None => binding,
        })
    }
}

pub(crate) fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
