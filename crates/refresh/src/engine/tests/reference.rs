//! [`Reference`]: a grant, and what its state machine must answer.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use portcullis_core::{AuthError, Generation, Reason, UnixTime};
use tokio::time::Instant;

use super::{
    super::{
        refusal_evidence::Verdict,
        state::{Decision, GrantState, RefreshJob, RefreshOutcome, RefreshPolicy, Row},
    },
    fixture::{LIFETIME, RefreshNumber, first, policy, response, unavailable},
};
use crate::{TokenSet, token_set::Now};

/// What may happen to a grant, in any order.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Ask,
    /// A caller reports the token of this number of generations ago.
    Report(u64),
    /// Both clocks advance by these seconds.
    Pass(u64),
    /// The calendar is set forward or back by these seconds.
    Step(i64),
    Complete(Outcome),
    /// Tokens of this number of generations later become the current ones, from another source than a refresh.
    Install(u64),
    /// The user logs out.
    End,
}

/// The result of the running refresh.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outcome {
    Refreshed {
        expires_in: Option<u64>,
    },
    Transient,
    Ambiguous,
    Refused,
    /// Refused for a reason that no standard defines. `accepted`: the provider had accepted the credentials of this server.
    Unexplained {
        accepted: bool,
    },
    Deferred,
}

/// A grant, and what its state machine must answer.
pub(super) struct Reference {
    pub(super) state: GrantState<RefreshNumber>,
    pub(super) now: Now,
    pub(super) refreshes: usize,
    pub(super) running: Option<RefreshJob>,
    pub(super) current: Arc<TokenSet>,
    pub(super) reported: HashSet<Generation>,
    /// How often the refresh token of a generation was presented, and whether it may be presented again.
    pub(super) presented: HashMap<Generation, (usize, bool)>,
    pub(super) refreshed: u64,
    /// The expiry of the access token, by the monotonic clock.
    pub(super) dies_at: Option<Instant>,
    /// The generation whose refresh token may be spent.
    pub(super) possibly_spent: Option<Generation>,
    pub(super) cooling_down_until: Option<Instant>,
    pub(super) breaker_until: Option<Instant>,
    pub(super) ended: bool,
    /// Unexplained refusals of the current refresh token: when, and whether the credentials had been accepted.
    pub(super) unexplained: Vec<(Generation, Instant, bool)>,
    pub(super) policy: RefreshPolicy,
}

impl Reference {
    pub(super) fn new(defer_when_possibly_spent: bool) -> Self {
        let now = Now { monotonic: Instant::now(), calendar: UnixTime::from_secs(1_800_000_000) };
        let (mut state, current) = (GrantState::new(), first(now.calendar));
        state.install(now, &current, policy(defer_when_possibly_spent));
        Self {
            state,
            now,
            refreshes: 0,
            running: None,
            current,
            reported: HashSet::new(),
            presented: HashMap::new(),
            refreshed: 0,
            dies_at: Some(now.monotonic + LIFETIME),
            possibly_spent: None,
            cooling_down_until: None,
            breaker_until: None,
            ended: false,
            unexplained: Vec::new(),
            policy: policy(defer_when_possibly_spent),
        }
    }

    /// Reports whether the access token is dead, by either clock or by a report.
    pub(super) fn is_dead(&self) -> bool {
        let by_calendar = self.current.expires_at().is_some_and(|end| self.now.calendar >= end);
        let by_age = self.dies_at.is_some_and(|end| self.now.monotonic >= end);
        by_calendar || by_age || self.reported.contains(&self.current.generation())
    }

    pub(super) fn ask(&mut self, reported: Option<Generation>) {
        let is_current = reported == Some(self.current.generation());
        let in_breaker = self.breaker_until.is_some_and(|until| self.now.monotonic < until);
        if is_current && !in_breaker && !self.ended {
            self.reported.insert(self.current.generation());
        }
        let mut started = None;
        let number = RefreshNumber(self.refreshes);
        let answer = self.state.ask(self.now, reported, self.policy, |job| {
            started = Some(job);
            number
        });
        if let Some(job) = started {
            assert!(self.running.is_none(), "two refreshes at once");
            assert!(!self.ended, "a refresh for a grant that has ended");
            assert!(
                self.cooling_down_until.is_none_or(|until| self.now.monotonic >= until),
                "a refresh during the cool-down"
            );
            assert_eq!(job.newer_than, Some(self.current.generation()), "a refresh of another generation");
            let is_possibly_spent = self.possibly_spent == Some(self.current.generation());
            assert!(
                !self.policy.defer_when_possibly_spent || !is_possibly_spent || self.is_dead(),
                "a refresh token that may be spent is presented while the access token works"
            );
            self.refreshes += 1;
            self.running = Some(job);
        }
        match answer {
            Decision::Ready(tokens) => {
                assert!(!self.ended);
                assert!(!self.is_dead(), "a token known to be dead");
                assert_eq!(tokens.generation(), self.current.generation());
                assert!(
                    reported.is_none_or(|reported| tokens.generation() > reported),
                    "the reported token was returned"
                );
            }
            Decision::Wait { .. } => {
                assert!(self.running.is_some(), "a wait for nothing");
                assert!(self.is_dead(), "a wait although the token works");
            }
            Decision::Fail(error) if self.ended => assert_eq!(error.reason(), Reason::GrantEnded),
            Decision::Fail(error) => {
                assert!(error.is_transient(), "a failure ended the grant");
                assert!(error.retry_after().is_some(), "an error without Retry-After");
            }
        }
    }

    /// Installs tokens of this number of generations later. Those of the same generation change nothing.
    pub(super) fn install(&mut self, ahead: u64) {
        let mut tokens = Arc::clone(&self.current);
        for _ in 0..ahead {
            tokens = Arc::new(tokens.refreshed(response(Some(LIFETIME)), self.now.calendar));
        }
        self.state.install(self.now, &tokens, self.policy);
        self.cooling_down_until = None;
        if ahead > 0 {
            self.dies_at = Some(self.now.monotonic + LIFETIME);
            self.breaker_until = None;
            self.unexplained.clear();
            self.current = tokens;
        }
    }

    /// Adds an unexplained refusal, and checks the verdict against the evidence.
    fn is_proved_dead(&mut self, generation: Generation, accepted: bool) -> bool {
        let now = self.now.monotonic;
        let verdict = self.state.record_unexplained_refusal(self.now, generation, accepted.then_some(now));
        let last = self.unexplained.last().copied();
        let starts_anew =
            |(of, at, _): (Generation, Instant, bool)| of != generation || now - at >= Duration::from_hours(24);
        if last.is_some_and(starts_anew) {
            self.unexplained.clear();
        }
        self.unexplained.push((generation, now, accepted));
        let first = self.unexplained[0].1;
        let after = self.unexplained.iter().filter(|(_, at, accepted)| *accepted && *at > first).count();
        let is_dead = self.unexplained.len() >= 3 && now - first >= Duration::from_mins(1) && after >= 2;
        assert_eq!(matches!(verdict, Verdict::Dead { .. }), is_dead, "{:?}", self.unexplained);
        is_dead
    }

    pub(super) fn complete(&mut self, result: Outcome) {
        let Some(job) = self.running.take() else { return };
        if self.ended {
            let tokens = Arc::new(self.current.refreshed(response(Some(LIFETIME)), self.now.calendar));
            let outcome = self.state.complete(self.now, &job, RefreshOutcome::Refreshed(tokens), self.policy);
            assert_eq!(outcome.expect_err("the grant has ended").reason(), Reason::GrantEnded);
            return;
        }
        let based_on = job.current.clone().expect("tokens");
        let generation = based_on.generation();
        if !matches!(result, Outcome::Deferred) {
            let (times, unanswered) = self.presented.entry(generation).or_default();
            assert!(*times == 0 || *unanswered, "a refresh token was presented twice");
            *times += 1;
            *unanswered = matches!(result, Outcome::Ambiguous | Outcome::Transient | Outcome::Unexplained { .. });
        }
        let outcome = match result {
            Outcome::Refreshed { expires_in } => {
                self.refreshed += 1;
                let renewed = based_on.refreshed(response(expires_in.map(Duration::from_secs)), self.now.calendar);
                let renewed = Arc::new(renewed);
                self.cooling_down_until = None;
                // Newer tokens may have been installed meanwhile.
                if renewed.generation() > self.current.generation() {
                    self.current = Arc::clone(&renewed);
                    let life = self.current.expires_at().map(|end| end.saturating_duration_since(self.now.calendar));
                    self.dies_at = life.map(|life| self.now.monotonic + life);
                    self.breaker_until = job.reported_dead.then(|| self.now.monotonic + Duration::from_secs(10));
                }
                RefreshOutcome::Refreshed(renewed)
            }
            Outcome::Transient => RefreshOutcome::Failed { error: unavailable(), possibly_spent: false },
            Outcome::Ambiguous => {
                self.possibly_spent = Some(generation);
                RefreshOutcome::Failed { error: unavailable(), possibly_spent: true }
            }
            Outcome::Refused => {
                self.ended = true;
                RefreshOutcome::Ended { error: AuthError::new(Reason::GrantEnded), row: Row::Removed }
            }
            Outcome::Unexplained { accepted } if self.is_proved_dead(generation, accepted) => {
                self.ended = true;
                RefreshOutcome::Ended { error: AuthError::new(Reason::GrantEnded), row: Row::Removed }
            }
            Outcome::Unexplained { .. } => RefreshOutcome::Failed { error: unavailable(), possibly_spent: false },
            Outcome::Deferred => {
                self.possibly_spent = Some(generation);
                RefreshOutcome::Deferred
            }
        };
        let outcome = self.state.complete(self.now, &job, outcome, self.policy);
        match result {
            Outcome::Refreshed { .. } | Outcome::Deferred => assert!(outcome.is_ok()),
            Outcome::Unexplained { .. } if self.ended => {
                assert_eq!(outcome.expect_err("ended").reason(), Reason::GrantEnded);
            }
            Outcome::Refused => assert_eq!(outcome.expect_err("ended").reason(), Reason::GrantEnded),
            Outcome::Transient | Outcome::Ambiguous | Outcome::Unexplained { .. } => {
                let error = outcome.expect_err("failed");
                self.cooling_down_until = Some(self.now.monotonic + error.retry_after().expect("a cool-down"));
            }
        }
        assert!(self.refreshed <= self.current.generation().number(), "more refreshes than generations");
    }
}
