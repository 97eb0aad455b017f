//! [`GrantState`]: the state machine of one grant. It decides; it performs no I/O, reads no clock and starts no task.

use std::{sync::Arc, time::Duration};

use portcullis_core::{AuthError, Generation, Reason};
use tokio::time::Instant;

use super::refusal_evidence::{RefusalEvidence, Verdict};
use crate::token_set::{CurrentTokens, Freshness, Now, TokenSet};

/// For this time after tokens replaced reported ones, a report about the new ones is not believed: another refresh would not help.
const REPEAT_REFUSAL_WINDOW: Duration = Duration::from_secs(10);

/// The state machine of one grant. `R` is a running refresh that callers can wait for.
///
/// # Phases
///
/// What a call does in each phase. Access tokens are *fresh*; or *early*: they work and are to be refreshed; or *dead*: there is
/// none, it has expired, or a caller reported it.
///
/// | phase | [`ask`](Self::ask), fresh | `ask`, early | `ask`, dead | [`complete`](Self::complete) | [`install`](Self::install) |
/// |---|---|---|---|---|---|
/// | `Idle` | token | token, → `Refreshing` | wait, → `Refreshing` | | |
/// | `Refreshing` | token | token | wait | → `Idle`, `CoolingDown` or `Ended` | |
/// | `CoolingDown` until its time | token | token | error with `Retry-After` | | → `Idle` |
/// | `CoolingDown` after its time | as `Idle` | as `Idle` | as `Idle` | | → `Idle` |
/// | `Ended` | error | error | error | error | ignored |
///
/// [`end`](Self::end) leads from every phase to `Ended`, which no call leaves. A refresh whose task ended without a result leaves
/// `Refreshing` with the next `ask`.
///
/// The grants of a client ([`RefreshPolicy::follows_logins`]) differ: [`replace`](Self::replace) installs the tokens of a login in every
/// phase, what a refresh reports about earlier tokens has then no effect, and an `ask` in `Ended` looks into the store, where another
/// process may have logged in.
///
/// # Beside the phase
///
/// Three facts hold whatever the phase is, until tokens of a later generation replace those they are about:
///
/// - *possibly spent*: the refresh token of a generation, or what replaces it, was sent and not answered. It is not sent again while the
///   access token works, if the policy says so.
/// - *reported dead* and *replaced reported tokens*: see [`CurrentTokens`].
/// - *refusal evidence*: the provider refused the refresh token for a reason that no standard defines.
#[derive(Debug)]
pub(crate) struct GrantState<R> {
    phase: Phase<R>,
    /// `None` until the store was read, and after the end.
    tokens: Option<CurrentTokens>,
    consecutive_failures: u32,
    /// How often the grant has ended.
    ends: u32,
    possibly_spent: Option<Generation>,
    /// Tokens of a later login have this generation at least.
    floor: Generation,
    refusals: Option<RefusalEvidence>,
}

#[derive(Debug)]
enum Phase<R> {
    Idle,
    Refreshing(R),
    /// A refresh failed: until then its error is the answer.
    CoolingDown {
        until: Instant,
        error: AuthError,
    },
    /// `refresh`: the one that was running when the grant ended.
    Ended {
        error: AuthError,
        row: Row,
        refresh: Option<R>,
    },
}

/// Whether the store still has the row of a grant that has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Row {
    Removed,
    /// It could not be removed, or is to be removed later. Until then the process has to remember that the grant has ended.
    Remains,
}

/// A running refresh, as the state machine sees it.
pub(crate) trait RunningRefresh: Clone {
    /// Reports whether its task ended without a result, because its runtime stopped.
    fn is_dead(&self) -> bool;
}

/// What a refresh is for.
#[derive(Clone, Debug)]
pub(crate) struct RefreshJob {
    /// The tokens in this process, if there are any.
    pub(crate) current: Option<Arc<TokenSet>>,
    /// Tokens of this generation or an earlier one are not sufficient.
    pub(crate) newer_than: Option<Generation>,
    /// A caller reported that the provider rejected the access token, although it may not have expired.
    pub(crate) reported_dead: bool,
    /// The generation that tokens of another login have at least.
    pub(crate) floor: Generation,
}

impl RefreshJob {
    /// Reports whether `tokens` are new enough.
    pub(crate) fn is_satisfied_by(&self, tokens: &TokenSet) -> bool {
        self.newer_than.is_none_or(|generation| tokens.generation() > generation)
    }
}

/// The answer to a caller that wants a token.
#[derive(Debug)]
pub(crate) enum Decision<R> {
    Ready(Arc<TokenSet>),
    /// `joined`: the refresh was running already.
    Wait {
        refresh: R,
        joined: bool,
    },
    Fail(AuthError),
}

/// The result of a refresh.
#[derive(Debug)]
pub(crate) enum RefreshOutcome {
    /// The store had tokens that are new enough.
    Found(Arc<TokenSet>),
    /// The provider issued new tokens.
    Refreshed(Arc<TokenSet>),
    /// The refresh token was not sent: it may be spent, and the access token still works.
    Deferred,
    /// The refresh failed. `possibly_spent`: the refresh token was sent and not answered.
    Failed { error: AuthError, possibly_spent: bool },
    /// The refresh token was refused, and no tokens could be acquired without it. `stripped`: the tokens that it belonged to, without it.
    /// `possibly_spent`: what the acquisition presented was not answered.
    NotAcquired { stripped: Arc<TokenSet>, error: AuthError, possibly_spent: bool },
    /// The grant has ended.
    Ended { error: AuthError, row: Row },
}

/// The parameters of the decisions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RefreshPolicy {
    /// How long before its expiry an access token is refreshed, at most.
    pub(crate) early_margin: Duration,
    /// Whether a refresh token that may be spent is not sent while the access token works.
    pub(crate) defer_when_possibly_spent: bool,
    /// Returns a random number between 0 and 1.
    pub(crate) jitter: fn() -> f64,
    /// Returns how long a grant cools down, from the number of failures before this one and the time that the provider asks for.
    pub(crate) cool_down: fn(u32, Option<Duration>) -> Duration,
    /// Whether a later login replaces the tokens of an earlier one.
    pub(crate) follows_logins: bool,
    /// Whether new tokens can be had without a refresh token.
    pub(crate) can_acquire: bool,
}

/// # What callers ask
impl<R: RunningRefresh> GrantState<R> {
    pub(crate) const fn new() -> Self {
        Self {
            phase: Phase::Idle,
            tokens: None,
            consecutive_failures: 0,
            ends: 0,
            possibly_spent: None,
            floor: Generation::new(0),
            refusals: None,
        }
    }

    /// Answers a caller that wants a token. `reported` is the generation of an access token that the provider rejected;
    /// `spawn_refresh` starts a refresh.
    pub(crate) fn ask(
        &mut self,
        now: Now,
        reported: Option<Generation>,
        policy: RefreshPolicy,
        spawn_refresh: impl FnOnce(RefreshJob) -> R,
    ) -> Decision<R> {
        if let Phase::Ended { error, row, refresh } = &self.phase {
            let may_be_back = *row == Row::Removed && refresh.as_ref().is_none_or(R::is_dead);
            if !policy.follows_logins || !may_be_back {
                return Decision::Fail(error.clone());
            }
            self.phase = Phase::Idle;
        }
        if let Some(error) = self.record_report(now, reported) {
            return Decision::Fail(error);
        }
        if matches!(&self.phase, Phase::Refreshing(refresh) if refresh.is_dead()) {
            self.phase = Phase::Idle;
        }
        // A report about a later generation: another process has refreshed the grant, and this process does not have the tokens.
        let newer_elsewhere = reported > self.generation();
        match &self.tokens {
            Some(current) if !newer_elsewhere => match current.freshness(now) {
                Freshness::Fresh => Decision::Ready(Arc::clone(current.tokens())),
                Freshness::Early => {
                    let tokens = Arc::clone(current.tokens());
                    if self.may_refresh_early(now, policy) {
                        self.phase = Phase::Refreshing(spawn_refresh(RefreshJob {
                            newer_than: Some(tokens.generation()),
                            current: Some(Arc::clone(&tokens)),
                            reported_dead: false,
                            floor: self.floor(),
                        }));
                    }
                    Decision::Ready(tokens)
                }
                Freshness::Dead => self.wait(now, reported, spawn_refresh),
            },
            _ => self.wait(now, reported, spawn_refresh),
        }
    }

    /// Returns the current tokens if they are fresh, and not those that are `reported`.
    pub(crate) fn fresh_tokens(&self, now: Now, reported: Option<Generation>) -> Option<&TokenSet> {
        let current = self.tokens.as_ref().filter(|current| current.freshness(now) == Freshness::Fresh)?;
        (reported < Some(current.generation())).then(|| &**current.tokens())
    }

    /// Reports whether there is an access token that works, so that no caller has to wait.
    pub(crate) fn has_working_token(&self, now: Now, reported: Option<Generation>) -> bool {
        let current = self.tokens.as_ref().filter(|current| current.freshness(now) != Freshness::Dead);
        current.is_some_and(|current| reported < Some(current.generation()))
    }

    /// No token is sufficient: the caller joins the running refresh, starts one, or gets the error of the last one.
    fn wait(
        &mut self,
        now: Now,
        reported: Option<Generation>,
        spawn_refresh: impl FnOnce(RefreshJob) -> R,
    ) -> Decision<R> {
        if let Phase::Refreshing(refresh) = &self.phase {
            return Decision::Wait { refresh: refresh.clone(), joined: true };
        }
        if let Some(error) = self.cooling_down(now) {
            return Decision::Fail(error);
        }
        // Either this caller or an earlier one made the report.
        let reported_dead = self.tokens.as_ref().is_some_and(CurrentTokens::is_reported_dead);
        let refresh = spawn_refresh(RefreshJob {
            current: self.tokens.as_ref().map(|current| Arc::clone(current.tokens())),
            newer_than: reported.max(self.generation()),
            reported_dead: reported_dead || reported > self.generation(),
            floor: self.floor(),
        });
        self.phase = Phase::Refreshing(refresh.clone());
        Decision::Wait { refresh, joined: false }
    }

    fn may_refresh_early(&self, now: Now, policy: RefreshPolicy) -> bool {
        let is_idle = !matches!(self.phase, Phase::Refreshing(_)) && self.cooling_down(now).is_none();
        let possibly_spent = self.possibly_spent.is_some() && self.possibly_spent == self.generation();
        is_idle && !(possibly_spent && policy.defer_when_possibly_spent)
    }

    /// Records that the current access token is dead; returns an error if it has just replaced another one that was reported.
    fn record_report(&mut self, now: Now, reported: Option<Generation>) -> Option<AuthError> {
        let current = self.tokens.as_mut().filter(|current| Some(current.generation()) == reported)?;
        if let Some(replaced_at) = current.replaced_reported_at() {
            let left = (replaced_at + REPEAT_REFUSAL_WINDOW).saturating_duration_since(now.monotonic);
            if !left.is_zero() {
                return Some(AuthError::new(Reason::FreshTokenRefused).with_retry_after(left));
            }
        }
        current.report_dead();
        None
    }

    /// Returns the error of the last refresh while its cool-down lasts.
    fn cooling_down(&self, now: Now) -> Option<AuthError> {
        let Phase::CoolingDown { until, error } = &self.phase else { return None };
        let left = until.saturating_duration_since(now.monotonic);
        (!left.is_zero()).then(|| error.clone().with_retry_after(left))
    }

    fn generation(&self) -> Option<Generation> {
        self.tokens.as_ref().map(CurrentTokens::generation)
    }

    /// Returns the generation that tokens of another login have at least.
    pub(crate) fn floor(&self) -> Generation {
        self.generation().map_or(self.floor, |current| current.next().max(self.floor))
    }
}

/// # What refreshes and stores report
impl<R: RunningRefresh> GrantState<R> {
    /// Records the result of a refresh. Returns what the callers get that wait for it.
    pub(crate) fn complete(
        &mut self,
        now: Now,
        job: &RefreshJob,
        outcome: RefreshOutcome,
        policy: RefreshPolicy,
    ) -> Result<Arc<TokenSet>, AuthError> {
        if let Phase::Ended { error, refresh, .. } = &mut self.phase {
            *refresh = None;
            return Err(error.clone());
        }
        self.phase = Phase::Idle;
        if let Some(current) =
            self.tokens.as_ref().filter(|current| policy.follows_logins && Some(current.generation()) > job.newer_than)
        {
            let current = Arc::clone(current.tokens());
            // Another login has replaced the tokens that the refresh was about. It may have found those of a third one.
            if let RefreshOutcome::Found(tokens) | RefreshOutcome::Refreshed(tokens) = outcome {
                self.install(now, &tokens, policy);
            }
            return Ok(current);
        }
        match outcome {
            RefreshOutcome::Found(tokens) => {
                self.install(now, &tokens, policy);
                Ok(tokens)
            }
            RefreshOutcome::Refreshed(tokens) => {
                self.install(now, &tokens, policy);
                let current = self.tokens.as_mut().filter(|current| Arc::ptr_eq(current.tokens(), &tokens));
                if let Some(current) = current.filter(|_| job.reported_dead) {
                    current.set_replaced_reported_at(now.monotonic);
                }
                Ok(tokens)
            }
            RefreshOutcome::Deferred => {
                self.possibly_spent = job.newer_than;
                let current = self.tokens.as_ref().map(|current| Arc::clone(current.tokens()));
                current.ok_or_else(|| AuthError::new(Reason::BackingOff))
            }
            RefreshOutcome::Failed { error, possibly_spent } => {
                if possibly_spent {
                    self.possibly_spent = job.newer_than;
                }
                Err(self.cool_down(now, error, policy))
            }
            RefreshOutcome::NotAcquired { stripped, error, possibly_spent } => {
                if possibly_spent {
                    self.possibly_spent = Some(stripped.generation());
                }
                match &mut self.tokens {
                    Some(current) if current.generation() == stripped.generation() => current.set_tokens(stripped),
                    _ => self.set_current(now, &stripped, policy),
                }
                Err(self.cool_down(now, error, policy))
            }
            RefreshOutcome::Ended { error, row } => {
                drop(self.end(error.clone(), row));
                Err(error)
            }
        }
    }

    /// Makes `error` the answer for a time. Returns it, with that time.
    fn cool_down(&mut self, now: Now, error: AuthError, policy: RefreshPolicy) -> AuthError {
        let pause = (policy.cool_down)(self.consecutive_failures, error.retry_after());
        self.consecutive_failures = self.consecutive_failures.saturating_add(1);
        self.phase = Phase::CoolingDown { until: now.monotonic + pause, error: error.clone() };
        error.with_retry_after(pause)
    }

    /// Records that the provider refused the refresh token of `generation` for a reason that no standard defines. `accepted_at` is
    /// when the provider last accepted the credentials of this server.
    pub(crate) fn record_unexplained_refusal(
        &mut self,
        now: Now,
        generation: Generation,
        accepted_at: Option<Instant>,
    ) -> Verdict {
        let (refusals, verdict) = RefusalEvidence::add(self.refusals, generation, now.monotonic, accepted_at);
        self.refusals = Some(refusals);
        verdict
    }

    /// Makes `tokens` the current ones, unless there are newer ones or the grant has ended.
    pub(crate) fn install(&mut self, now: Now, tokens: &Arc<TokenSet>, policy: RefreshPolicy) {
        match self.phase {
            Phase::Ended { .. } => return,
            Phase::CoolingDown { .. } => self.phase = Phase::Idle,
            Phase::Idle | Phase::Refreshing(_) => {}
        }
        self.consecutive_failures = 0;
        self.set_current(now, tokens, policy);
    }

    /// Gives the current tokens, which were of the generation `before`, the generation with which they were `saved`. An access token that was
    /// rejected meanwhile stays dead.
    pub(crate) fn renumber(&mut self, now: Now, before: Generation, saved: &Arc<TokenSet>, policy: RefreshPolicy) {
        let current = self.tokens.as_ref().filter(|current| current.generation() == before);
        let is_dead = current.is_some_and(CurrentTokens::is_reported_dead);
        self.install(now, saved, policy);
        if let Some(current) = self.tokens.as_mut().filter(|current| is_dead && Arc::ptr_eq(current.tokens(), saved)) {
            current.report_dead();
        }
    }

    /// Makes `tokens` the current ones, unless there are newer ones. The phase stays.
    fn set_current(&mut self, now: Now, tokens: &Arc<TokenSet>, policy: RefreshPolicy) {
        if self.generation().is_none_or(|current| tokens.generation() > current) {
            self.refusals = None;
            let tokens = Arc::clone(tokens);
            // Without a refresh token nothing can be done ahead of the expiry.
            let is_renewable = policy.can_acquire || tokens.refresh_token().is_some();
            let margin = if is_renewable { policy.early_margin } else { Duration::ZERO };
            self.tokens = Some(CurrentTokens::new(tokens, now, margin, (policy.jitter)()));
        }
    }

    /// Returns how often the grant has ended.
    pub(crate) const fn ends(&self) -> u32 {
        self.ends
    }

    /// Makes the `tokens` of a login the current ones, whatever the phase is. They are of a later generation than all before.
    ///
    /// If the grant has ended since `ends` was read, before they were saved, the store says what holds, and the next `ask` looks there.
    pub(crate) fn replace(&mut self, now: Now, tokens: &Arc<TokenSet>, ends: u32, policy: RefreshPolicy) {
        if self.ends != ends {
            return;
        }
        if let Phase::Ended { refresh, .. } = &mut self.phase {
            let phase = refresh.take().map_or(Phase::Idle, Phase::Refreshing);
            self.phase = phase;
        }
        self.install(now, tokens, policy);
    }

    /// Ends the grant for good, with the error that callers get from now on. Returns the tokens that it had.
    pub(crate) fn end(&mut self, error: AuthError, row: Row) -> Option<Arc<TokenSet>> {
        let refresh = match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Refreshing(refresh) => Some(refresh),
            Phase::Ended { refresh, .. } => refresh,
            Phase::Idle | Phase::CoolingDown { .. } => None,
        };
        self.phase = Phase::Ended { error, row, refresh };
        self.ends = self.ends.wrapping_add(1);
        self.floor = self.floor();
        self.tokens.take().map(CurrentTokens::into_tokens)
    }
}

/// What is known about a grant, for a caller that shows it.
#[derive(Debug)]
pub(crate) struct StateView {
    pub(crate) tokens: Option<Arc<TokenSet>>,
    pub(crate) freshness: Option<Freshness>,
    pub(crate) is_refreshing: bool,
    pub(crate) cooling_down: Option<AuthError>,
    pub(crate) ended: Option<AuthError>,
    /// How long it takes until something of this changes by itself.
    pub(crate) next_change: Option<Duration>,
}

/// # What the pool asks
impl<R: RunningRefresh> GrantState<R> {
    /// Returns what is known now.
    pub(crate) fn view(&self, now: Now) -> StateView {
        let cooling_down = self.cooling_down(now);
        let until_retry = cooling_down.as_ref().and_then(AuthError::retry_after);
        let until_stale = self.tokens.as_ref().and_then(|current| current.next_change(now));
        StateView {
            tokens: self.tokens.as_ref().map(|current| Arc::clone(current.tokens())),
            freshness: self.tokens.as_ref().map(|current| current.freshness(now)),
            is_refreshing: matches!(&self.phase, Phase::Refreshing(refresh) if !refresh.is_dead()),
            cooling_down,
            ended: if let Phase::Ended { error, .. } = &self.phase { Some(error.clone()) } else { None },
            next_change: [until_retry, until_stale].into_iter().flatten().min(),
        }
    }

    /// Records that the provider rejected the access token of `generation`. Reports whether it is the current one.
    pub(crate) fn report(&mut self, now: Now, generation: Generation) -> bool {
        let is_current = self.generation() == Some(generation);
        drop(self.record_report(now, Some(generation)));
        is_current
    }

    /// Returns what a change of the state is seen by: the phase, the tokens, and whether they are reported.
    pub(crate) fn mark(&self) -> (u8, Option<Generation>, bool) {
        let phase = match self.phase {
            Phase::Idle => 0,
            Phase::Refreshing(_) => 1,
            Phase::CoolingDown { .. } => 2,
            Phase::Ended { .. } => 3,
        };
        (phase, self.generation(), self.tokens.as_ref().is_some_and(CurrentTokens::is_reported_dead))
    }

    /// Reports whether the last refresh failed.
    pub(crate) const fn is_backing_off(&self) -> bool {
        matches!(self.phase, Phase::CoolingDown { .. })
    }

    /// Reports whether the grant has ended and the store knows it, so that the entry can be replaced.
    pub(crate) const fn is_removed(&self) -> bool {
        matches!(self.phase, Phase::Ended { row: Row::Removed, refresh: None, .. })
    }

    /// Reports whether the state holds something that the store does not have, so that the entry must be kept.
    pub(crate) fn must_be_kept(&self, now: Now) -> bool {
        match &self.phase {
            Phase::Refreshing(_) | Phase::Ended { refresh: Some(_), .. } => true,
            Phase::Ended { row, .. } => *row == Row::Remains,
            Phase::CoolingDown { .. } if self.cooling_down(now).is_some() => true,
            Phase::Idle | Phase::CoolingDown { .. } => self.has_doubts(now),
        }
    }

    /// Reports whether something is known against the current tokens that another process would not see.
    fn has_doubts(&self, now: Now) -> bool {
        let doubtful = self.tokens.as_ref().is_some_and(|current| {
            let possibly_spent = self.possibly_spent == Some(current.generation());
            (current.is_reported_dead() || possibly_spent) && !current.is_expired(now)
        });
        doubtful || self.refusals.is_some_and(|refusals| !refusals.has_lapsed(now.monotonic))
    }
}
