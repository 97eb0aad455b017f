//! [`Circuit`]: admits calls by the state of the circuit breaker; and [`Record`]: that state and its transitions, without I/O and
//! lock.

use std::{
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use super::{
    Refusal,
    retry_after::{LONGEST_WINDOW, back_off_window},
    suspicion::{Caller, Gate, PROBE_INTERVAL, REFUSALS, Suspicion},
};
use crate::EgressErrorKind;

/// How long after a credential was accepted the refusals of other credentials are about those.
const LATELY: Duration = Duration::from_secs(60);

/// Admits calls: the states and transitions are in the documentation of [`CircuitBreaker`](crate::CircuitBreaker).
pub(super) struct Circuit {
    record: Mutex<Record>,
    changed: Notify,
}

/// The right to send one call. Dropped without a verdict, it says nothing about the provider and admits the next call in its place.
pub(super) struct Permit {
    circuit: Arc<Circuit>,
    call: Call,
}

enum Decision {
    Admit(Permit),
    Refuse(Refusal),
    WaitUntil(Instant),
}

impl Circuit {
    pub(super) fn new() -> Self {
        Self { record: Mutex::new(Record::new()), changed: Notify::new() }
    }

    /// Admits or refuses a call, after the outcome of a running probe if that decides: it waits at most [`PROBE_INTERVAL`], and holds no
    /// lock meanwhile.
    pub(super) async fn admit(self: &Arc<Self>, caller: Caller) -> Result<Permit, Refusal> {
        loop {
            let mut changed = pin!(self.changed.notified());
            // From here on no change is missed.
            changed.as_mut().enable();
            match self.decide(&caller) {
                Decision::Admit(permit) => return Ok(permit),
                Decision::Refuse(refusal) => return Err(refusal),
                // A change or the time: either is a reason to decide again.
                Decision::WaitUntil(time) => drop(timeout_at(time, changed).await),
            }
        }
    }

    fn decide(self: &Arc<Self>, caller: &Caller) -> Decision {
        let now = Instant::now();
        let mut record = self.lock();
        record.give_up_probe(now);
        let (availability, kind) = match &record.state {
            State::Closed => (Gate::Open, EgressErrorKind::BackingOff),
            State::Suspected { suspicion, kind } => (suspicion.gate(caller, now), *kind),
            State::Open { until, kind } => match until.saturating_duration_since(now) {
                rest if rest.is_zero() => (Gate::Open, *kind),
                rest => (Gate::Closed(rest), *kind),
            },
            State::HalfOpen { kind, .. } => (Gate::Closed(PROBE_INTERVAL), *kind),
        };
        let is_refused = record.is_refused();
        // That a credential was accepted before says nothing: a revoked one is refused as well.
        let like_new = Caller { is_accepted: false, ..*caller };
        let credentials = if is_refused { record.refused.gate(&like_new, now) } else { Gate::Open };
        match (availability, credentials) {
            (Gate::Closed(retry_after), _) => return Decision::Refuse(Refusal { kind, retry_after }),
            (_, Gate::Closed(retry_after)) => {
                return Decision::Refuse(Refusal { kind: EgressErrorKind::ClientRefused, retry_after });
            }
            (Gate::WaitUntil(time), _) | (_, Gate::WaitUntil(time)) => return Decision::WaitUntil(time),
            (Gate::Open, Gate::Open) => {}
        }
        record.calls += 1;
        let number = record.calls;
        if is_refused {
            record.refused.begin(&like_new, number, now);
        }
        match &mut record.state {
            State::Suspected { suspicion, .. } => suspicion.begin(caller, number, now),
            State::Open { kind, .. } => {
                let kind = *kind;
                record.change(State::HalfOpen { kind, probe: *caller, sent: now });
            }
            State::Closed | State::HalfOpen { .. } => {}
        }
        let call = Call { caller: *caller, number, generation: record.generation, sent: now };
        Decision::Admit(Permit { circuit: Arc::clone(self), call })
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        // No code panics while the lock is held.
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Notes that the provider answered. Reports whether its refusals may be about this server.
    pub(super) fn answered(self, verdict: Verdict) -> bool {
        self.circuit.lock().answered(&self.call, verdict, Instant::now())
    }

    /// Notes that the provider failed, or did not answer.
    pub(super) fn failed(self, failure: Failure) -> Consequence {
        self.circuit.lock().failed(&self.call, failure, Instant::now())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut record = self.circuit.lock();
        record.refused.end(self.call.number);
        match &mut record.state {
            State::Suspected { suspicion, .. } => suspicion.end(self.call.number),
            State::HalfOpen { kind, .. } => {
                let kind = *kind;
                if record.generation == self.call.generation {
                    record.change(State::Open { until: Instant::now(), kind });
                }
            }
            State::Closed | State::Open { .. } => {}
        }
        drop(record);
        self.circuit.changed.notify_waiters();
    }
}

/// The state of a circuit breaker: the table is in the documentation of [`CircuitBreaker`](crate::CircuitBreaker).
struct Record {
    state: State,
    /// Credentials that were refused, unless it is this server that was.
    refused: Suspicion,
    /// Counts windows, probes and closings: the outcome of a call counts only if there was none since it was sent.
    generation: u64,
    /// The number of calls that were sent.
    calls: u64,
    /// The number of windows that were opened since the circuit was closed.
    windows: u32,
    /// When the provider last answered, whatever the answer was.
    answered: Option<Instant>,
    /// When it last accepted a credential.
    accepted: Option<Instant>,
}

enum State {
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
struct Call {
    caller: Caller,
    number: u64,
    generation: u64,
    sent: Instant,
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
    fn new() -> Self {
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

    fn change(&mut self, state: State) {
        self.state = state;
        self.generation += 1;
    }

    /// Reports whether the refusals of the provider may be about this server.
    const fn is_refused(&self) -> bool {
        self.refused.count() >= REFUSALS
    }

    /// Treats a half-open probe with a new credential that is not answered for [`PROBE_INTERVAL`] like one that failed: its credential may
    /// be the reason. Its late outcome still counts.
    fn give_up_probe(&mut self, now: Instant) {
        let State::HalfOpen { kind, probe, sent } = &self.state else { return };
        let Some(credential) = probe.credential.filter(|_| !probe.is_accepted) else { return };
        let (kind, end) = (*kind, *sent + PROBE_INTERVAL);
        if now >= end {
            let mut suspicion = Suspicion::of(credential, false);
            suspicion.postpone(end);
            self.state = State::Suspected { suspicion, kind };
        }
    }

    fn answered(&mut self, call: &Call, verdict: Verdict, now: Instant) -> bool {
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

    fn failed(&mut self, call: &Call, failure: Failure, now: Instant) -> Consequence {
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
