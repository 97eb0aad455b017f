//! [`Logins`]: logins and step-ups, one at a time for all callers. A refresh never waits for a login that needs the user.

use std::{
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use portcullis_core::{AuthError, GrantId, Reason, ScopeSet};
use portcullis_oauth::TokenResponse;
use portcullis_refresh::TokenSet;
use portcullis_remote::SharedTask;
use tokio::time::{Instant, timeout};
use tracing::Instrument as _;

use crate::{
    AcquireError, GrantError, GrantErrorKind, LoginError,
    resolution::Resolver,
    resolved::Resolved,
    settings::{BackOff, lock},
    telemetry,
};

/// Logins and step-ups of a manager.
pub(crate) struct Logins {
    resolver: Arc<Resolver>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: Option<Running>,
    back_off: BackOff,
    newest: Option<Newest>,
    /// The number of logouts. A login that was begun before a logout has no effect after it.
    logouts: u64,
}

/// The newest login. While its tokens are new, no caller starts another one: the resource would refuse those as well.
struct Newest {
    binding: GrantId,
    completed: Instant,
    /// For how long its tokens are new.
    pause: Duration,
    /// Whether a caller wanted another login in that time.
    was_refused: bool,
}

/// How long the tokens of a login are new.
const NEW: Duration = Duration::from_secs(10);
/// The longest such time, after repeated logins whose tokens were refused.
const LONGEST_NEW: Duration = Duration::from_mins(5);

struct Running {
    /// The scopes that it requests, as far as they are known at its start.
    scopes: ScopeSet,
    task: Task,
}

type Task = SharedTask<Result<Arc<TokenSet>, AcquireError>>;

/// Why a login is started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cause {
    /// The application asks for it. A failure before does not matter.
    Application,
    /// A caller needs a token or scopes. After a failure no other login is started for a time.
    Caller,
}

impl State {
    /// Records that the tokens of a login at `binding` are in use.
    fn complete(&mut self, binding: GrantId) {
        let refused = self.newest.take().filter(|last| last.was_refused && last.binding == binding);
        let pause = refused.map_or(NEW, |last| (last.pause * 2).min(LONGEST_NEW));
        self.newest = Some(Newest { binding, completed: Instant::now(), pause, was_refused: false });
    }
}

impl Logins {
    pub(crate) fn new(resolver: Arc<Resolver>) -> Self {
        Self { resolver, state: Mutex::default() }
    }

    /// Logs in with all of `scopes`, or joins a login that requests them.
    pub(crate) async fn log_in(
        self: &Arc<Self>,
        scopes: &ScopeSet,
        cause: Cause,
    ) -> Result<Arc<TokenSet>, AcquireError> {
        loop {
            let (task, is_sufficient) = self.join(scopes, cause)?;
            let result = task.await;
            let is_granted = result.as_ref().is_ok_and(|tokens| tokens.scopes().is_superset(scopes));
            if is_sufficient || is_granted {
                return result;
            }
        }
    }

    /// Reports whether a caller whose tokens at `binding` do not work any more may start a login: not if they have just been obtained by
    /// one. Otherwise a resource that refuses every token would open a browser again and again.
    ///
    /// # Errors
    /// [`AcquireError::Unavailable`], with the time after which it may.
    pub(crate) fn may_replace_login(&self, binding: GrantId) -> Result<(), AcquireError> {
        let mut state = lock(&self.state);
        let Some(newest) = state.newest.as_mut().filter(|newest| newest.binding == binding) else { return Ok(()) };
        let left = (newest.completed + newest.pause).saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        newest.was_refused = true;
        let error = AuthError::new(Reason::FreshTokenRefused).with_source("the tokens of the last login do not work");
        Err(AcquireError::Unavailable(error.with_retry_after(left)))
    }

    /// Returns the login in progress, or starts one; and whether it requests all of `scopes`.
    fn join(self: &Arc<Self>, scopes: &ScopeSet, cause: Cause) -> Result<(Task, bool), AcquireError> {
        let settings = &self.resolver.settings;
        let mut state = lock(&self.state);
        if let Some(login) = state.running.as_ref().filter(|login| !login.task.is_finished()) {
            telemetry::coalesced(settings.grant.name());
            return Ok((login.task.clone(), login.scopes.is_superset(scopes)));
        }
        if !settings.grant.can_step_up() {
            let why = "the refresh token that was given cannot obtain other tokens";
            return Err(AcquireError::ReauthRequired(AuthError::new(Reason::GrantEnded).with_source(why)));
        }
        let is_remembered = cause == Cause::Caller || !settings.grant.is_interactive();
        if let Some((_, error)) = state.back_off.active().filter(|_| is_remembered) {
            return Err(error);
        }
        let (this, asked, logouts) = (Arc::clone(self), scopes.clone(), state.logouts);
        let task = settings.tasks.share(async move { this.run(asked, logouts).await });
        let scopes = self.resolver.current().as_ref().map_or_else(|| scopes.clone(), |now| now.scopes_of_login(scopes));
        state.running = Some(Running { scopes, task: task.clone() });
        Ok((task, true))
    }

    /// Calls `start`, which may start an exchange, unless a step-up that needs no user is in progress, which is returned then: there would
    /// be two exchanges at a time. A step-up that begins afterwards sees the exchange.
    pub(crate) fn unless_stepping_up<T>(&self, start: impl FnOnce() -> T) -> Result<T, Task> {
        if self.resolver.settings.grant.is_interactive() {
            return Ok(start());
        }
        let state = lock(&self.state);
        match state.running.as_ref().filter(|login| !login.task.is_finished()) {
            Some(step_up) => Err(step_up.task.clone()),
            None => Ok(start()),
        }
    }

    /// Makes the login in progress have no effect.
    pub(crate) fn forget(&self) {
        let mut state = lock(&self.state);
        *state = State { logouts: state.logouts + 1, ..State::default() };
    }

    async fn run(self: Arc<Self>, asked: ScopeSet, logouts: u64) -> Result<Arc<TokenSet>, AcquireError> {
        let result = self.obtain(&asked, logouts).await;
        let mut state = lock(&self.state);
        // A logout has removed this login, and another one may have been started since.
        if state.logouts == logouts {
            state.running = None;
            match &result {
                Ok(_) => state.back_off = BackOff::default(),
                Err(error) => state.back_off.fail(error),
            }
        }
        result
    }

    async fn obtain(&self, asked: &ScopeSet, logouts: u64) -> Result<Arc<TokenSet>, AcquireError> {
        // The user is about to be sent to the authorization server: is it still the right one?
        let resolved = if self.resolver.settings.grant.is_interactive() {
            self.resolver.resolve_again().await?
        } else {
            let resolved = self.resolver.resolved(None).await?;
            resolved.idle().await;
            resolved
        };
        // A logout after this is seen by the engine when the tokens are saved; one before it, by the next line.
        let login = resolved.tokens.begin_login();
        self.check_not_logged_out(logouts)?;
        let scopes = resolved.scopes_of_login(asked);
        let response = self.request(&resolved, scopes.clone()).await.map_err(|error| {
            if is_declined(&error) {
                let granted = resolved.tokens.status().tokens.map(|tokens| tokens.scopes().clone());
                resolved.record_granted(&scopes, &granted.unwrap_or_default());
            }
            AcquireError::of_grant(error)
        })?;
        self.check_not_logged_out(logouts)?;
        let tokens = login.complete(response, &scopes).await?;
        lock(&self.state).complete(resolved.id);
        resolved.record_granted(&scopes, tokens.scopes());
        Ok(tokens)
    }

    /// Returns an error if the user has logged out since the login was begun, after this number of logouts.
    fn check_not_logged_out(&self, logouts: u64) -> Result<(), AcquireError> {
        if lock(&self.state).logouts == logouts {
            return Ok(());
        }
        let error = AuthError::new(Reason::GrantEnded).with_source("the user logged out during the login");
        Err(AcquireError::ReauthRequired(error))
    }

    async fn request(&self, resolved: &Resolved, scopes: ScopeSet) -> Result<TokenResponse, GrantError> {
        let settings = &self.resolver.settings;
        let (name, is_interactive) = (settings.grant.name(), settings.grant.is_interactive());
        let span = tracing::info_span!("portcullis.client.login", grant = %resolved.id, provider = name);
        let started = Instant::now();
        let mut request = pin!(resolved.obtain(settings, scopes));
        let answer = async {
            if is_interactive {
                // The user may take any time, and a shutdown does not wait for that.
                tokio::select! {
                    biased;
                    answer = &mut request => return answer,
                    () = settings.tasks.draining.cancelled() => {}
                }
                if !settings.grant.is_redeeming() {
                    let error = AuthError::new(Reason::BackingOff).with_source("the manager shuts down");
                    return Err(GrantError::not_sent(error));
                }
            }
            let too_late = |_| Err(GrantError::ambiguous(AuthError::new(Reason::ProviderTimeout)));
            timeout(settings.exchange_timeout, request).await.unwrap_or_else(too_late)
        };
        let answer = answer.instrument(span).await;
        telemetry::obtained(name, is_interactive, answer.as_ref().err(), started.elapsed());
        answer
    }
}

/// Reports whether the user or the authorization server has declined what was requested, in contrast to a login that failed before either
/// was asked, or whose answer was lost.
fn is_declined(error: &GrantError) -> bool {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    let failed = |login: &LoginError| !matches!(login, LoginError::Refused { .. });
    let has_failed = causes.filter_map(|cause| cause.downcast_ref::<LoginError>()).any(failed);
    error.kind() == GrantErrorKind::Refused && !has_failed
}
