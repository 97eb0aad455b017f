//! [`Resolver`]: finds the [binding](Binding) of a grant, once for all callers, and remembers those that were in use.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use portcullis_core::{AuthError, Challenge, GrantId, Issuer, Reason, ResourceUri, ScopeSet, UnixTime};
use portcullis_remote::SharedTask;
use portcullis_store::{RecordKey, StoreError};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use crate::{
    AcquireError, Binding, GrantError, GrantErrorKind,
    collections::BINDINGS,
    resolved::Resolved,
    settings::{BackOff, Settings, lock},
};

/// The time between two resolutions of a binding whose new tokens are refused: the metadata of the resource is fetched for each.
const BETWEEN_REFUSALS: Duration = Duration::from_secs(10);

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
    /// Those that were in use, the latest last.
    known: Vec<Arc<Resolved>>,
}

/// The number of bindings that are remembered. The tokens of others are still in the store.
const MAX_KNOWN: usize = 8;

impl State {
    /// Returns `binding` with its engine, which is that of an earlier use if it is remembered, and remembers it.
    fn known(&mut self, settings: &Arc<Settings>, binding: Binding) -> Arc<Resolved> {
        let id = binding.grant_id(settings.grant.name());
        let resolved = match self.known.iter().position(|known| known.id == id) {
            Some(index) => self.known.remove(index),
            None => Arc::new(Resolved::new(settings, binding)),
        };
        if self.known.len() >= MAX_KNOWN
            && let Some(oldest) = self.known.iter().position(|known| known.is_idle())
        {
            self.known.remove(oldest);
        }
        self.known.push(Arc::clone(&resolved));
        resolved
    }
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

    /// Returns the bindings that were in use, as far as they are remembered.
    pub(crate) fn known(&self) -> Vec<Arc<Resolved>> {
        lock(&self.state).known.clone()
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

    /// Returns the binding, if it is in use, stored or known without the network; `None` if it would have to be resolved by requests.
    pub(crate) async fn resolved_before(self: &Arc<Self>) -> Result<Option<Arc<Resolved>>, AcquireError> {
        let is_known = self.current.load().is_some() || self.key().is_none() || self.stored().await?.is_some();
        if is_known { self.resolved(None).await.map(Some) } else { Ok(None) }
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
        let stored = if self.current.load().is_none() { self.stored().await } else { Ok(None) };
        if let Ok(Some(stored)) = &stored {
            self.settings.grant.restore(stored);
        }
        let is_sufficient = challenge.is_none() && haste == Haste::Usual;
        let result = match stored.map(|stored| stored.filter(|_| is_sufficient)) {
            Ok(Some(binding)) => Ok(binding),
            Ok(None) => self.ask(challenge.as_ref()).await,
            Err(error) => Err(error),
        };
        let mut state = lock(&self.state);
        state.running = None;
        let result = match result {
            Ok(binding) => {
                state.back_off = BackOff::default();
                let named = challenge.as_ref().and_then(|challenge| challenge.param("resource_metadata"));
                state.metadata_url = named.map(str::to_owned).or_else(|| state.metadata_url.take());
                let resolved = state.known(&self.settings, binding);
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

    async fn stored(&self) -> Result<Option<Binding>, AcquireError> {
        let Some(key) = self.key() else { return Ok(None) };
        let record = self.settings.store.sealed_store().load::<StoredBinding>(key).await;
        let record = record.map_err(|error| {
            tracing::warn!(%error, "the stored binding of the tokens could not be read");
            AcquireError::Store(error.into())
        })?;
        Ok(record.and_then(|record| record.value.binding()))
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
