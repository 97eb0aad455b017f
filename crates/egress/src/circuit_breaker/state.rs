//! [`Record`]: the state of a circuit breaker, and its transitions. No I/O and no lock.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    suspicion::{Caller, PROBE_INTERVAL, REFUSALS, Suspicion},
    window::{LONGEST_WINDOW, back_off_window},
};
use crate::EgressErrorKind;

/// How long after a credential was accepted the refusals of other credentials are about those.
const LATELY: Duration = Duration::from_secs(60);

/// The state of a circuit breaker: the table is in the documentation of [`CircuitBreaker`](crate::CircuitBreaker).
pub(super) struct Record {
    pub(super) state: State,
    /// Credentials that were refused, unless it is this server that was.
    pub(super) refused: Suspicion,
    /// Counts windows, probes and closings: the outcome of a call counts only if there was none since it was sent.
    pub(super) generation: u64,
    /// The number of calls that were sent.
    pub(super) calls: u64,
    /// The number of windows that were opened since the circuit was closed.
    windows: u32,
    /// When the provider last answered, whatever the answer was.
    answered: Option<Instant>,
    /// When it last accepted a credential.
    accepted: Option<Instant>,
}

pub(super) enum State {
    Closed,
    /// Half-open for new credentials: either the provider fails, or the credentials do.
    Suspected {
        suspicion: Suspicion,
        kind: EgressErrorKind,
    },
    /// No call is sent before `until`.
    Open {
        until: Instant,
        kind: EgressErrorKind,
    },
    /// One call, the probe, was sent.
    HalfOpen {
        kind: EgressErrorKind,
        probe: Caller,
        sent: Instant,
    },
}

/// A call that has been admitted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) caller: Caller,
    pub(super) number: u64,
    pub(super) generation: u64,
    pub(super) sent: Instant,
}

/// What an answer of the provider says about the credential.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    Accepted,
    /// Nothing.
    Answered,
    /// It was refused, or this server was.
    Refused,
}

/// How a call failed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failure {
    pub(super) kind: EgressErrorKind,
    /// The `Retry-After` of the provider.
    pub(super) asked: Option<Duration>,
}

/// The effect of a failed call on the circuit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Consequence {
    /// It opened a window of this length: all calls are refused.
    Opened(Duration),
    /// It changed nothing for calls with accepted credentials. Other calls wait at least for this time.
    Waiting(Duration),
}

impl Record {
    pub(super) fn new() -> Self {
        Self {
            state: State::Closed,
            refused: Suspicion::default(),
            generation: 0,
            calls: 0,
            windows: 0,
            answered: None,
            accepted: None,
        }
    }

    pub(super) fn change(&mut self, state: State) {
        self.state = state;
        self.generation += 1;
    }

    /// Reports whether the refusals of the provider may be about this server.
    pub(super) const fn is_refused(&self) -> bool {
        self.refused.count() >= REFUSALS
    }

    /// Treats a half-open probe with a new credential that is not answered for [`PROBE_INTERVAL`] like one that failed: its credential may
    /// be the reason. Its late outcome still counts.
    pub(super) fn give_up_probe(&mut self, now: Instant) {
        let State::HalfOpen { kind, probe, sent } = &self.state else { return };
        let Some(credential) = probe.credential.filter(|_| !probe.is_accepted) else { return };
        let (kind, end) = (*kind, *sent + PROBE_INTERVAL);
        if now >= end {
            let mut suspicion = Suspicion::of(credential, false);
            suspicion.postpone(end);
            self.state = State::Suspected { suspicion, kind };
        }
    }

    pub(super) fn answered(&mut self, call: &Call, verdict: Verdict, now: Instant) -> bool {
        self.answered = Some(now);
        let closes = match self.state {
            State::Suspected { .. } => true,
            State::HalfOpen { .. } => self.generation == call.generation,
            // A late answer does not close a window.
            State::Closed | State::Open { .. } => false,
        };
        if closes {
            self.windows = 0;
            self.change(State::Closed);
        }
        match (verdict, call.caller.credential) {
            (Verdict::Accepted, _) => {
                self.accepted = Some(now);
                self.refused = Suspicion::default();
            }
            (Verdict::Refused, Some(credential)) if self.accepted.is_none_or(|at| at + LATELY <= now) => {
                let is_news = !self.is_refused() || self.refused.is_probe(call.sent);
                self.refused.add(credential, call.caller.is_accepted);
                if self.is_refused() && is_news {
                    self.refused.postpone(now + PROBE_INTERVAL);
                }
                return self.is_refused();
            }
            (Verdict::Refused | Verdict::Answered, _) => {}
        }
        false
    }

    pub(super) fn failed(&mut self, call: &Call, failure: Failure, now: Instant) -> Consequence {
        // Without a connection, or without a credential, the credential cannot be the reason.
        let credential = call.caller.credential.filter(|_| failure.kind != EgressErrorKind::Connect);
        let is_current = self.generation == call.generation;
        // The provider answered another call after this one was sent.
        let is_contradicted = credential.is_some() && self.answered.is_some_and(|answered| answered > call.sent);
        let is_accepted = call.caller.is_accepted;
        match (&mut self.state, credential) {
            (State::Open { until, .. }, _) => Consequence::Waiting(until.saturating_duration_since(now)),
            _ if !is_current => Consequence::Waiting(PROBE_INTERVAL),
            (State::Closed | State::Suspected { .. }, Some(_)) if is_contradicted => {
                Consequence::Waiting(Duration::ZERO)
            }
            (State::Closed, Some(credential)) => {
                self.suspect(Suspicion::of(credential, is_accepted), failure);
                Consequence::Waiting(Duration::ZERO)
            }
            (State::Suspected { suspicion, .. }, Some(credential)) => {
                // Calls that were sent before the suspicion add to it, and do not prolong it.
                let is_news = suspicion.count() < 2 || suspicion.is_probe(call.sent);
                suspicion.add(credential, is_accepted);
                match suspicion.count() {
                    ..2 => Consequence::Waiting(Duration::ZERO),
                    _ if suspicion.has_accepted() => self.open(failure, now),
                    _ => {
                        if is_news {
                            suspicion.postpone(now + failure.interval());
                        }
                        Consequence::Waiting(suspicion.rest(now))
                    }
                }
            }
            (State::HalfOpen { .. }, Some(credential)) if !is_accepted => {
                let mut suspicion = Suspicion::of(credential, is_accepted);
                suspicion.postpone(now + failure.interval());
                self.suspect(suspicion, failure);
                Consequence::Waiting(failure.interval())
            }
            (State::HalfOpen { .. }, _) | (State::Closed | State::Suspected { .. }, None) => self.open(failure, now),
        }
    }

    /// Calls that are under way count as before.
    fn suspect(&mut self, suspicion: Suspicion, failure: Failure) {
        self.state = State::Suspected { suspicion, kind: failure.kind.while_left_alone() };
    }

    fn open(&mut self, failure: Failure, now: Instant) -> Consequence {
        let window = back_off_window(self.windows, failure.asked);
        self.windows = self.windows.saturating_add(1);
        self.change(State::Open { until: now + window, kind: failure.kind.while_left_alone() });
        Consequence::Opened(window)
    }
}

impl Failure {
    /// Returns the time until the next new credential may be the probe: the `Retry-After` within bounds, because the credentials may have
    /// provoked that as well.
    fn interval(self) -> Duration {
        self.asked.unwrap_or_default().clamp(PROBE_INTERVAL, LONGEST_WINDOW)
    }
}
